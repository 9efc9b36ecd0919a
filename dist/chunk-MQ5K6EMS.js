import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
import{isIP as r}from"node:net";function e(o){let t=o.replace(/^\[|\]$/g,"").toLowerCase();return r(t)===4?t.startsWith("127.")||t==="0.0.0.0":/^(::1?|localhost|host\.docker\.internal)$|\.localhost$/.test(t)}function s(o){return URL.canParse(o)&&e(new URL(o).hostname)}export{e as a,s as b};
