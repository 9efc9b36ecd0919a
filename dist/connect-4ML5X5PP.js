import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
import{a,b,c}from"./chunk-PY22F3V2.js";import"./chunk-PENWS3HE.js";import"./chunk-V2PYDIF2.js";import"./chunk-MQ5K6EMS.js";import"./chunk-QTZJW3NL.js";import"./chunk-LGCI526A.js";import"./chunk-XWYNZHBO.js";import"./chunk-TIQ2RXAT.js";export{a as NoKubeconfig,b as connection,c as secretsOf};
