import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
import{b as a,c as b,d as c}from"./chunk-N4HE7EZ2.js";import"./chunk-3JQNYRUW.js";import"./chunk-XWYNZHBO.js";import"./chunk-TIQ2RXAT.js";export{a as NoKubeconfig,b as connection,c as secretsOf};
