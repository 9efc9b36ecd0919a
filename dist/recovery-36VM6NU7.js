import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
import{J as a,K as b}from"./chunk-DZX6U36P.js";import"./chunk-SNVTLMPG.js";import"./chunk-UGZSU3XD.js";import"./chunk-HKSOCRUW.js";import"./chunk-UYOTATC7.js";import"./chunk-ELJPFGOH.js";import"./chunk-DMPBY6LY.js";import"./chunk-TIQ2RXAT.js";export{b as forceRollback,a as recoverPromotion};
