import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
import{a,b,c}from"./chunk-64N6CF2E.js";import"./chunk-DMPBY6LY.js";import"./chunk-2OG2BR2L.js";import"./chunk-72Y3PXAN.js";import"./chunk-TIQ2RXAT.js";export{a as connectGithub,c as explainGithubError,b as isTransient};
