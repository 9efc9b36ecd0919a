import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
function i(r){return r.replace(/(^|[\r\n])([\s\u0085]*):(?=:)/g,"$1$2:\u200B").replace(/##(?=\[)/g,"#\u200B#")}function o(r){let n=r.write.bind(r);r.write=(t,...e)=>typeof t=="string"&&t.startsWith("::debug::")?!0:n(t,...e)}export{i as a,o as b};
