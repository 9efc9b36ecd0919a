import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
import{a,b,c,d}from"./chunk-YYHPW6QG.js";import"./chunk-SAG56O5P.js";import"./chunk-TIQ2RXAT.js";export{d as deactivateOthers,c as endStatus,b as setStatus,a as startDeployment};
