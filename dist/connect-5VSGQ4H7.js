import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
import{a,b,c}from"./chunk-OGVOLNLG.js";import"./chunk-EPCB5E7N.js";import"./chunk-XWYNZHBO.js";import"./chunk-TIQ2RXAT.js";export{a as NoKubeconfig,b as connection,c as secretsOf};
