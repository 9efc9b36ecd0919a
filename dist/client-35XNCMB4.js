import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
import{b as a,c as b}from"./chunk-WEJDA24R.js";import"./chunk-2MAE7CS4.js";import"./chunk-75RKHIOF.js";import"./chunk-DMPBY6LY.js";import"./chunk-TIQ2RXAT.js";export{b as createClient,a as fieldManager};
