import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
import{O as a,P as b}from"./chunk-4MHWSNSJ.js";import"./chunk-OD6VNAGQ.js";import"./chunk-RMBVJKTZ.js";import"./chunk-YO4PZ2XO.js";import"./chunk-OVY54MXJ.js";import"./chunk-Z7IQCTKK.js";import"./chunk-DMPBY6LY.js";import"./chunk-TIQ2RXAT.js";export{b as forceRollback,a as recoverPromotion};
