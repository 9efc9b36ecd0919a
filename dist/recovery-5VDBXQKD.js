import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
import{M as a,N as b}from"./chunk-PACTQCIB.js";import"./chunk-CQBK7JY6.js";import"./chunk-BYDT723Y.js";import"./chunk-QJBD2HFR.js";import"./chunk-OVY54MXJ.js";import"./chunk-INEP3DUP.js";import"./chunk-DMPBY6LY.js";import"./chunk-TIQ2RXAT.js";export{b as forceRollback,a as recoverPromotion};
