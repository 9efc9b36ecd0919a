import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
import{d as a,e as b}from"./chunk-QHSPURZZ.js";import"./chunk-Z7IQCTKK.js";import"./chunk-DMPBY6LY.js";import"./chunk-TIQ2RXAT.js";export{b as createClient,a as fieldManager};
