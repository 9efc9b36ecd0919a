import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
var o=["PodChaos","NetworkChaos","StressChaos","IOChaos","TimeChaos"];export{o as a};
