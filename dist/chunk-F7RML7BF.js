import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
function e(t){return t>=1e4||t>0&&t<.001?t.toExponential(1):String(Number(t.toPrecision(3)))}export{e as a};
