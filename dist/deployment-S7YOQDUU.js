import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
import{a,b,c,d,e,f,g,h}from"./chunk-WSOSLBII.js";import"./chunk-UI4XY5UK.js";import"./chunk-TIQ2RXAT.js";export{e as createDeployment,h as endStatus,c as hadTraffic,a as heldPrefix,d as leftNoTraffic,f as ownDeployments,g as setStatus,b as startDeployment};
