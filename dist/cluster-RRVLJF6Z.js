import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
import{r as a,s as b,t as c,u as d}from"./chunk-KNN66T7E.js";import"./chunk-YHXDVOYT.js";import"./chunk-O2WHU5V6.js";import"./chunk-VCGRE35A.js";import"./chunk-FFZTGPX4.js";import"./chunk-Q5HAA545.js";import"./chunk-OEQ4KNJR.js";export{c as checkIngress,a as provide,d as removeCluster,b as withLogs};
