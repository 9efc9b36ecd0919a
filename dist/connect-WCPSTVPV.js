import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
import{b as a,c as b,d as c}from"./chunk-DHXSRYUS.js";import"./chunk-JMHU7SVF.js";import"./chunk-2MAE7CS4.js";import"./chunk-XWYNZHBO.js";import"./chunk-TIQ2RXAT.js";export{a as NoKubeconfig,b as connection,c as secretsOf};
