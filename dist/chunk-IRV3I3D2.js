import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
import{d as y,e as x,f as w,h as R}from"./chunk-KYBPVK7T.js";import{a as h,b}from"./chunk-ESHJH2WE.js";import{a as $}from"./chunk-SAG56O5P.js";import{createHash as L}from"node:crypto";var O=6e4,j=24e3,v=12,u=20,A=1e3;function V({identity:n,namespace:e,cluster:t},r=""){let s=t?`kind ${t.name}`:r;return L("sha256").update(`${n.owner}
${e}
${s}`).digest("hex").slice(0,16)}function z(n){return`<!-- mesh-canary ${n} -->`}var B=/^<!-- began (\S+) -->$/m;function G(n,e){let t=o=>Date.parse(B.exec(o)?.[1]??"")||0;if(n.some(o=>t(o.body)>t(e)))return{remove:[],isOutdated:!0};let[r,...s]=n.map(({id:o})=>o);return{...r===void 0?{}:{update:r},remove:s,isOutdated:!1}}function J(n,e,t){let{promotions:r,experiments:s=[],warnings:o,error:i}=n,a=r.slice(0,v),c=[`${e}
<!-- began ${n.startedAt} -->
### ${l(b(n))}`,i===void 0?q(n):F(i.split(`
`)),...a.map(f=>T(f,r.length>1)),r.length>a.length?`\u2026 and ${r.length-a.length} more canaries`:"",...s.slice(0,u).map(_),...M(n),o.length>0?g(`${o.length} ${o.length===1?"warning":"warnings"}`,C(o)):""],m=`${S(n,t)}
`,d=O-Buffer.byteLength(m)-2;return`${w(d,c.filter(Boolean),E)}
${m}`}function q(n){let{verdict:e,reason:t}=h(n);return n.promotions.length+(n.experiments??[]).length>0||t===void 0?"":`**${e}**: ${l(t)}`}var E=n=>`> ${n} ${n===1?"part is":"parts are"} left out, because a comment has little room: the page of the run has all`;function T(n,e){let{canary:t,service:r,verdict:s,reason:o,steps:i,userRequests:a,engineVerdict:c}=n,m=e?`Canary ${l(`${t} of ${r}`)}: `:"",d=c===void 0?"":`the controller: ${c}; `,f=`${a.failed} of ${a.total} requests of users failed`;return[`${m}**${s}**: ${l(o)} (${d}${f})`,...i.length>0?[R(n)]:[]].join(`

`)}function _({name:n,verdict:e,reason:t}){return`Experiment ${l(n)}: **${e}**: ${l(t)}`}function M({dryRun:n,plan:e=[],meshPlan:t=[],rendered:r,removed:s=[]}){let o=t.filter(({action:a})=>a!=="create"),i=n?"would change":"changed";return[...o.length>0?[P(`Control plane: ${p(o.length)} ${i}`,o)]:[],...e.length>0?[P(`Policies: ${p(e.length)} ${i}`,e)]:[],...s.length>0?[g(`${p(s.length)} ${n?"would be removed":"removed"}`,C(s))]:[],...r===void 0?[]:[g("Objects",k("yaml",r.trimEnd().split(`
`)))]]}var p=n=>`${n} ${n===1?"object":"objects"}`;function P(n,e){let t=e.flatMap(({action:r,kind:s,namespace:o,name:i,diff:a})=>[`# ${s} ${o}/${i}: ${r}`,...a]);return g(n,k("diff",t))}function g(n,e){return`<details>
<summary>${n}</summary>

${e}

</details>`}function k(n,e){let t=e.flatMap(r=>r.split(/\r\n|[\r\n]/));return x(n,t.map(r=>r.replace(/^(?=\s*\/)/,"\u200B")),j)}function C(n){let e=n.length>u?[`- \u2026 and ${n.length-u} more`]:[];return[...n.slice(0,u).map(t=>`- ${l(t)}`),...e].join(`
`)}function F(n){return n.slice(0,u).map(e=>`> ${l(e)}`).join(`
>
`)}function l(n){return y(I($(n,A))).replaceAll("&","&amp;")}function I(n){return n.replace(/[\u202a-\u202e\u2066-\u2069]/g,"").replace(/[@#!&%^~$](?=\S)|\[(?=\w+:)|\b[wW]{3}(?=\.)|\b(?:gh|[A-Z][A-Z\d_]+)-(?=\d)|[\da-fA-F]{6}(?=[\da-fA-F])/g,"$&\u200B").replaceAll("://",":\u200B//")}function S({startedAt:n},{commit:e,run:t,html:r,json:s,environment:o}){let i=c=>encodeURI(c).replace(/[()]/g,m=>m==="("?"%28":"%29"),a=[...e===void 0?[]:[`commit \`${e.replace(/[^\da-f]/gi,"").slice(0,12)}\``],...t===void 0?[]:[`[the run](${i(t)})`],...o===void 0?[]:[`[the application](${i(o)})`],...[r,s].flatMap(c=>c===void 0?[]:[`report: ${l(c)}`])];return[`${n.replace("T"," ").slice(0,16)} UTC`,...a].join(" \xB7 ")}export{V as a,z as b,G as c,J as d};
