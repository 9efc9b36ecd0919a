import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
import{c as x,e as w,f as R,g as P,h as k,i as C,k as O}from"./chunk-EQVNL47S.js";import{a as j}from"./chunk-OZRDB43F.js";import{a as h,b,c as y}from"./chunk-YDCVGVYW.js";import{a as d}from"./chunk-3GWCBFR2.js";import{a as $}from"./chunk-SAG56O5P.js";import{createHash as B}from"node:crypto";var E=6e4,q=24e3,D=12,u=20,S=1e3;function on({identity:n,namespace:e,cluster:t},r){let i=T(t,r);return B("sha256").update(`${n.owner}
${e}
${i}`).digest("hex").slice(0,16)}function T(n,{server:e="",job:t=""}){return n?["kind",n.name,n.kubernetes,n.image,t].join(" "):_(e)?`local ${t}`:e}function _(n){return/^https?:\/\/(127\.|0\.0\.0\.0|localhost|\[::1\]|host\.docker\.internal)/i.test(n)}function sn(n){return`<!-- mesh-canary ${n} -->`}var I=/^<!-- as of (\S+) -->$/m;function F(n){let{startedAt:e,seconds:t,dryRun:r,verdict:i,promotions:o,experiments:s=[]}=n,a=o.some(m=>m.verdict!=="skipped")||![void 0,"skipped"].includes(i);return!r&&(a||s.length>0||h(n)>0)?new Date(Date.parse(e)+t*1e3).toISOString():e}function an(n,e){let t=o=>Date.parse(I.exec(o)?.[1]??"")||0;if(n.some(o=>t(o.body)>t(e)))return{remove:[],isOutdated:!0};let[r,...i]=n.map(({id:o})=>o);return{...r===void 0?{}:{update:r},remove:i,isOutdated:!1}}function cn(n,e,t){let{promotions:r,experiments:i=[],warnings:o,error:s}=n,a=r.slice(0,D),c=[`${e}
<!-- as of ${F(n)} -->
### ${l(y(n))}`,s===void 0?H(n):Z(s.split(`
`)),...a.map(p=>N(p,r.length>1)),r.length>a.length?`\u2026 and ${r.length-a.length} more canaries`:"",...i.slice(0,u).map(U),...W(n),o.length>0?f(d(o.length,"warning"),A(o)):""],m=`${z(n,t)}
`,g=E-Buffer.byteLength(m)-2;return`${P(g,c.filter(Boolean),M)}
${m}`}function H(n){let{verdict:e,reason:t}=b(n);return n.promotions.length+(n.experiments??[]).length>0||t===void 0?"":`**${e}**: ${l(t)}`}var M=n=>x(n,"a comment has little room: the page of the run has all");function N(n,e){let{canary:t,service:r,verdict:i,reason:o,steps:s,userRequests:a,engineVerdict:c}=n,m=e?`Canary ${l(`${t} of ${r}`)}: `:"",g=c===void 0?"":`the controller: ${c}; `,p=`${a.failed} of ${a.total} requests of users failed`;return[`${m}**${i}**: ${l(o)} (${g}${p})`,...s.length>0?[O(n)]:[]].join(`

`)}function U({name:n,verdict:e,reason:t}){return`Experiment ${l(n)}: **${e}**: ${l(t)}`}function W({dryRun:n,plan:e=[],meshPlan:t,rendered:r,removed:i=[]}){let o=C(t),s=n?"would change":"changed";return[...o.length>0?[L(`Control plane: ${d(o.length,"object")} ${s}`,o)]:[],...e.length>0?[L(`Policies: ${d(e.length,"object")} ${s}`,e)]:[],...i.length>0?[f(`${d(i.length,"object")} ${n?"would be removed":"removed"}`,A(i))]:[],...r===void 0?[]:[f("Objects",v("yaml",r.trimEnd().split(`
`)))]]}function L(n,e){return f(n,v("diff",k(e)))}function f(n,e){return`<details>
<summary>${n}</summary>

${e}

</details>`}function v(n,e){let t=e.flatMap(r=>r.split(/\r\n|[\r\n]/));return R(n,t.map(r=>r.replace(/^(?=\s*\/)/,"\u200B")),q)}function A(n){let e=n.length>u?[`- \u2026 and ${n.length-u} more`]:[];return[...n.slice(0,u).map(t=>`- ${l(t)}`),...e].join(`
`)}function Z(n){return n.slice(0,u).map(e=>`> ${l(e)}`).join(`
>
`)}function l(n){return w(V($(n,S))).replaceAll("&","&amp;")}var G=new RegExp(`[${j}]`,"g");function V(n){return n.replace(G,"").replace(/[@#!&%^~$](?=\S)|\[(?=\w+:)|\b[wW]{3}(?=\.)|\b(?:[gG][hH]|[A-Z][A-Z\d_]+)-(?=\d)|[\da-fA-F]{6}(?=[\da-fA-F])/g,"$&\u200B").replaceAll("://",":\u200B//")}function z({startedAt:n},{commit:e,run:t,html:r,json:i,environment:o}){let s=c=>encodeURI(c).replace(/[()]/g,m=>m==="("?"%28":"%29"),a=[...e===void 0?[]:[`commit \`${e.replace(/[^\da-f]/gi,"").slice(0,12)}\``],...t===void 0?[]:[`[the run](${s(t)})`],...o===void 0?[]:[`[the application](${s(o)})`],...[r,i].flatMap(c=>c===void 0?[]:[`report: ${l(c)}`])];return[`${n.replace("T"," ").slice(0,16)} UTC`,...a].join(" \xB7 ")}export{on as a,sn as b,an as c,cn as d};
