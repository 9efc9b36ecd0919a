import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
import{a,b}from"./chunk-OWTAVOAD.js";import"./chunk-B3EI3U6N.js";import"./chunk-2MAE7CS4.js";import"./chunk-GUESJXRQ.js";import"./chunk-LLXSIJVQ.js";import"./chunk-DMPBY6LY.js";import"./chunk-TIQ2RXAT.js";export{b as createClient,a as fieldManager};
