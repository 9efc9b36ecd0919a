import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
import{a,b,c,d,e,f,t as g,u as h}from"./chunk-TKR4G67X.js";import"./chunk-DMPBY6LY.js";import"./chunk-TIQ2RXAT.js";export{a as ApiError,h as client,c as emptyWhenAbsent,d as emptyWhenUnread,g as fieldManager,f as isConflict,b as refusal,e as undefinedWhenForbidden};
