import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
function r(){let e;return(n,t)=>e&&n===e.about&&t-e.at<1e4?!1:(e={about:n,at:t},!0)}export{r as a};
