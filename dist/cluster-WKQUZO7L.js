import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
import{r as a,s as b,t as c,u as d}from"./chunk-TMPB5H4Z.js";import"./chunk-YHXDVOYT.js";import"./chunk-W2QXNR7O.js";import"./chunk-RU7AK6JI.js";import"./chunk-FFZTGPX4.js";import"./chunk-Q5HAA545.js";import"./chunk-OEQ4KNJR.js";export{c as checkIngress,a as provide,d as removeCluster,b as withLogs};
