import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
import{I as a,J as b}from"./chunk-JDQQU2X7.js";import"./chunk-WFPV2LID.js";import"./chunk-FCY3RYXP.js";import"./chunk-HKSOCRUW.js";import"./chunk-UYOTATC7.js";import"./chunk-TKR4G67X.js";import"./chunk-DMPBY6LY.js";import"./chunk-TIQ2RXAT.js";export{b as forceRollback,a as recoverPromotion};
