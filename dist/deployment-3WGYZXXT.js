import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
import{a,b,c,d,e,f}from"./chunk-FFW5CTQR.js";import"./chunk-SAG56O5P.js";import"./chunk-TIQ2RXAT.js";export{c as createDeployment,f as endStatus,a as heldPrefix,d as ownDeployments,e as setStatus,b as startDeployment};
