import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
function c(n,t=1/0){let[i,o]=[r(n),Number(r(t))];if(n>=t||Number(i)<o)return i;let s=10**(Math.floor(Math.log10(n))-e(n)+1);return r(o-s)}function r(n){let t=e(n);return t===2?n.toExponential(1):String(Number(n.toPrecision(t)))}function e(n){return n>=1e4||n>0&&n<.001?2:3}export{c as a};
