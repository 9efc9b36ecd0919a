import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
function r(n,i){return n===void 0?i:`${n}: ${i}`}function t(n,i){return i===void 0?n:`${n} in ${i}`}export{r as a,t as b};
