import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
import{I as a,J as b}from"./chunk-675KOYMT.js";import"./chunk-SNVTLMPG.js";import"./chunk-UGZSU3XD.js";import"./chunk-HKSOCRUW.js";import"./chunk-UYOTATC7.js";import"./chunk-ELJPFGOH.js";import"./chunk-DMPBY6LY.js";import"./chunk-TIQ2RXAT.js";export{b as forceRollback,a as recoverPromotion};
