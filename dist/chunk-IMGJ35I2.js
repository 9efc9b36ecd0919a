import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
import{a as f}from"./chunk-UCBXNAMS.js";function a(n,t){return`### ${n}

${t}`}var p=20;function x(n,t){return t.split(`
`).length<=p?a(n,t):m(`<b>${n}</b>`,t)}function m(n,t){return`<details>
<summary>${n}</summary>

${t}

</details>`}function y(n,t=l){return n.map(r=>`- ${t(r)}`).join(`
`)}function L(n,t){return`> ${f(n,"part")} ${n===1?"is":"are"} left out, because ${t}`}var u=500;function j(n,t,r=l){let e=s=>`| ${s.join(" | ")} |`,i=e(n.map(s=>l(s))),o=t.length>u?`

\u2026 and ${t.length-u} more`:"",g=t.slice(0,u).map(s=>e(s.map(r)));return`${[i,e(n.map(()=>"---")),...g].join(`
`)}${o}`}var $=/[\r\n]+/g;function l(n){return n.replace(/[\\`*_{}[\]<>|#~]/g,t=>`\\${t}`).replace($," ")}function B(n,t,r=d){let e=h(t,r).map(i=>i.replaceAll("`````","'''''"));return[`\`\`\`\`\`${n}`,...e,"`````"].join(`
`)}var d=15e4;function h(n,t){let r=0,e=n.findIndex(i=>(r+=Buffer.byteLength(i)+1)>t);return e===-1?n:[...n.slice(0,e),`\u2026 and ${n.length-e} more lines`]}function O(n,t,r){let i=n-Buffer.byteLength(r(t.length))-4,o=t.filter(s=>{let c=Buffer.byteLength(s)+2;return c>i?!1:(i-=c,!0)}),g=t.length-o.length;return`${[...o,...g>0?[r(g)]:[]].join(`

`)}
`}export{a,x as b,m as c,y as d,L as e,j as f,l as g,B as h,O as i};
