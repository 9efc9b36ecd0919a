import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
import{r as a,s as b,t as c,u as d}from"./chunk-DOD6LRFI.js";import"./chunk-YHXDVOYT.js";import"./chunk-BI34FQNE.js";import"./chunk-RU7AK6JI.js";import"./chunk-Q5HAA545.js";import"./chunk-PYE6XJ3G.js";import"./chunk-OEQ4KNJR.js";export{c as checkIngress,a as provide,d as removeCluster,b as withLogs};
