import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
import{b as a,c as b}from"./chunk-CNMFCPL2.js";import"./chunk-INEP3DUP.js";import"./chunk-DMPBY6LY.js";import"./chunk-TIQ2RXAT.js";export{b as createClient,a as fieldManager};
