import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
import{J as a,K as b}from"./chunk-SDERRATH.js";import"./chunk-SNVTLMPG.js";import"./chunk-UI7L6CMZ.js";import"./chunk-HKSOCRUW.js";import"./chunk-OVY54MXJ.js";import"./chunk-ELJPFGOH.js";import"./chunk-DMPBY6LY.js";import"./chunk-TIQ2RXAT.js";export{b as forceRollback,a as recoverPromotion};
