import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
import{a as s}from"./chunk-KLA45EBM.js";var o="the recovery failed, and the traffic may not be safe; the log of the run says what is left";function l(t,{lines:e,isTrafficUnsafe:n}){let r=n?[o,...e]:e;if(r.length===0)return t;let i=t.trimEnd().lastIndexOf(`
`)+1,f=`${n?"\u26D4 ":""}After the run: ${s(r.join("; "))}`;return`${t.slice(0,i)}${f}

${t.slice(i)}`}export{o as a,l as b};
