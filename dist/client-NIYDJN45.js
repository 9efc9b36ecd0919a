import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
import{a,b}from"./chunk-GJ7MKCRQ.js";import"./chunk-B3EI3U6N.js";import"./chunk-2MAE7CS4.js";import"./chunk-242ME2UT.js";import"./chunk-DMPBY6LY.js";import"./chunk-2OG2BR2L.js";import"./chunk-2V3F4IHD.js";import"./chunk-TIQ2RXAT.js";export{b as createClient,a as fieldManager};
