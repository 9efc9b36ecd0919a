import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
function e(t){return[...new Map(t.map(n=>[JSON.stringify(n),n])).values()]}export{e as a};
