import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
import{O as a,P as b}from"./chunk-2PA3POSQ.js";import"./chunk-62JY4ZDL.js";import"./chunk-7GNZ4P3Y.js";import"./chunk-IOTKP3AW.js";import"./chunk-OVY54MXJ.js";import"./chunk-4DVXN4PE.js";import"./chunk-DMPBY6LY.js";import"./chunk-TIQ2RXAT.js";export{b as forceRollback,a as recoverPromotion};
