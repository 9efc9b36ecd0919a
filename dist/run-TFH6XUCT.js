import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
import{b as a,c as b}from"./chunk-EGIMLBOZ.js";import"./chunk-UKWBYCAP.js";import"./chunk-QKBLNZO4.js";import"./chunk-OV52FTL5.js";import"./chunk-X77WCCE6.js";export{b as finishFor,a as run};
