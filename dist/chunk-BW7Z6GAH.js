import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
function r(n){return n.replace(/(^|[\r\n])([\s\u0085]*):(?=:)/g,"$1$2:\u200B").replace(/##(?=\[)/g,"#\u200B#")}export{r as a};
