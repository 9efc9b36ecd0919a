import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
function o({ok:e,cause:t}){return e?{tone:"good",text:"\u2713 ready"}:t===void 0?{tone:"open",text:"left to the checks of the promotion"}:{tone:"bad",text:`\u2717 ${t}`}}export{o as a};
