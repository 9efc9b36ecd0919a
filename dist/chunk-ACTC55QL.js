import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
import{a as $}from"./chunk-P2F4PX6F.js";function f(n,t){return`### ${n}

${t}`}var y=20;function k(n,t){return t.split(`
`).length<=y?f(n,t):`<details>
<summary><b>${n}</b></summary>

${t}

</details>`}function N(n,t){return`> ${$(n,"part")} ${n===1?"is":"are"} left out, because ${t}`}var l=500;function g(n,t,i=c){let e=s=>`| ${s.join(" | ")} |`,r=t.length>l?`

\u2026 and ${t.length-l} more`:"",o=t.slice(0,l).map(s=>e(s.map(i)));return`${[e(n),e(n.map(()=>"---")),...o].join(`
`)}${r}`}var b=/[\r\n]+/g;function c(n){return n.replace(/[\\`*_{}[\]<>|#~]/g,t=>`\\${t}`).replace(b," ")}function d(n,t,i=x){let e=R(t,i).map(r=>r.replaceAll("`````","'''''"));return[`\`\`\`\`\`${n}`,...e,"`````"].join(`
`)}var x=15e4;function R(n,t){let i=0,e=n.findIndex(r=>(i+=Buffer.byteLength(r)+1)>t);return e===-1?n:[...n.slice(0,e),`\u2026 and ${n.length-e} more lines`]}function O(n,t,i){let r=n-Buffer.byteLength(i(t.length))-4,o=t.filter(u=>{let a=Buffer.byteLength(u)+2;return a>r?!1:(r-=a,!0)}),s=t.length-o.length;return`${[...o,...s>0?[i(s)]:[]].join(`

`)}
`}function _(n){return n.flatMap(({action:t,kind:i,namespace:e,name:r,diff:o})=>[`# ${i} ${e}/${r}: ${t}`,...o])}function z(n=[]){return n.filter(({action:t})=>t!=="create")}function W(n,t){let{service:i,canary:e,verdict:r,reason:o,steps:s,diagnosis:u=[]}=n,a=[`**${r}**: ${c(o)}`,...s.length>0?[v(n)]:[],...u.map(F),q(n),...s.length>0?[P(s),L(n)]:[]];return f(t?`${e} of ${i}`:"Promotion",a.filter(Boolean).join(`

`))}var w=["Weight","From s","Seconds","Canary requests","succeeded","Stable requests","succeeded","Share seen","Outcome"];function P(n){return g(w,n.map(t=>[j(t),t.startSeconds.toFixed(0),t.seconds.toFixed(1),`${t.canary.requests}`,m(t.canary),`${t.stable.requests}`,m(t.stable),S(t),t.outcome]))}function j({kind:n,weight:t}){return n==="weight"?`${t}`:n==="mirror"?`copies of ${t}%`:"those that match"}function S({split:n,weight:t}){return n?n.fits?`${n.observed}%`:`${n.observed}% (not ${t}%)`:"\u2013"}function q({service:n,userRequests:t,requestsObserved:i,secondsToDetect:e,secondsToSafe:r}){let{total:o,failed:s}=t;return[`Requests to the canary: ${i}. Requests of the users of ${n}: ${o}, failed: ${s}.`,e===void 0?"":`Decided ${e.toFixed(1)} s after the canary's first request.`,r===void 0?"":B(r)].filter(Boolean).join(" ")}function B(n){let t="after its weight was set to 0";return n===0?`No request reached the canary ${t}.`:`The canary served its last request ${n.toFixed(1)} s ${t}.`}function L({checks:n}){let t=e=>e>=1e3?e.toExponential(1):e.toFixed(2),i=({violations:e,requests:r})=>`${e} of ${r}`;return g(["Check","Canary","Stable","Evidence to fail","Evidence to pass","Verdict"],n.map(({check:e,canary:r,stable:o,failEvidence:s,failThreshold:u,passEvidence:a,passThreshold:p,verdict:h})=>[e,i(r),i(o),`${t(s)} of ${t(u)}`,`${t(a)} of ${t(p)}`,h]))}function F({pod:n,container:t,cause:i,log:e,events:r}){let o=[...r,...e];if(o.length===0)return"";let s=i===void 0?"":`: ${c(i)}`;return`Last of ${c(n)} (${c(t)})${s}:

${d("text",o)}`}function m({requests:n,failures:t}){return n===0?"\u2013":`${((n-t)/n*100).toFixed(1)}%`}function v({steps:n,canary:t}){let i=n.map(({weight:o})=>o),e=n.map(({canary:{requests:o,failures:s}})=>o===0?0:Math.round((o-s)/o*1e3)/10),r=n.map(({startSeconds:o,weight:s})=>`"${s} at ${o.toFixed(0)} s"`);return["```mermaid","xychart-beta",`  title "${t.replace(/[^\w.-]/g,"_")} weight (bars) and success (line), per cent"`,`  x-axis [${r.join(", ")}]`,'  y-axis "per cent" 0 --> 100',`  bar [${i.join(", ")}]`,`  line [${e.join(", ")}]`,"```"].join(`
`)}export{f as a,k as b,N as c,g as d,c as e,d as f,O as g,_ as h,z as i,W as j,v as k};
