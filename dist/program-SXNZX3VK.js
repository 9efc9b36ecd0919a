import{createRequire as nodeRequire}from'node:module';const require=nodeRequire(import.meta.url);
import{a as V,b as T,c as G,d as y}from"./chunk-567JHKXL.js";import"./chunk-7L2FYL2Y.js";import"./chunk-QYXFMO2W.js";import{a as R}from"./chunk-HZ7MQXUJ.js";import"./chunk-OZRDB43F.js";import{b as M}from"./chunk-7FR6R63J.js";import"./chunk-NFXEBGCG.js";import"./chunk-IDKA5WA6.js";import"./chunk-QPJFW537.js";import"./chunk-M32V2MMA.js";import"./chunk-MWLS2LGQ.js";import"./chunk-U3UOAXXS.js";import"./chunk-B5A2AATC.js";import"./chunk-EME5S4U5.js";import"./chunk-6SJTUKX2.js";import{a as w}from"./chunk-QTZJW3NL.js";import"./chunk-HPTJBOSG.js";import"./chunk-STGCWAOQ.js";import"./chunk-5V3S6MTM.js";import{X as q}from"./chunk-OHWJQCKH.js";import"./chunk-XPGGDH7A.js";import"./chunk-UCBXNAMS.js";import"./chunk-PXAKIB7W.js";import"./chunk-Y4IFEH6G.js";import"./chunk-TIQ2RXAT.js";import{globSync as Oe}from"node:fs";import se from"node:assert";var d={ShellCompDirectiveError:1,ShellCompDirectiveNoSpace:2,ShellCompDirectiveNoFileComp:4,ShellCompDirectiveFilterFileExt:8,ShellCompDirectiveFilterDirs:16,ShellCompDirectiveKeepOrder:32,shellCompDirectiveMaxValue:64,ShellCompDirectiveDefault:0},ae=class{name;variadic;command;handler;constructor(n,e,t,i=!1){this.command=n,this.name=e,this.handler=t,this.variadic=i}},le=class{value;description;command;handler;alias;isBoolean;constructor(n,e,t,i,o,r){this.command=n,this.value=e,this.description=t,this.handler=i,this.alias=o,this.isBoolean=r}},L=class{value;description;options=new Map;arguments=new Map;parent;constructor(n,e){this.value=n,this.description=e}option(n,e,t,i){let o,r,s;typeof t=="function"?(o=t,r=i,s=!1):typeof t=="string"?(o=void 0,r=t,s=!0):(o=void 0,r=void 0,s=!0);let a=new le(this,n,e,o,r,s);return this.options.set(n,a),this}argument(n,e,t=!1){let i=new ae(this,n,e,t);return this.arguments.set(n,i),this}},ce=class extends L{commands=new Map;completions=[];directive=d.ShellCompDirectiveDefault;constructor(){super("","")}command(n,e){let t=new L(n,e);return this.commands.set(n,t),t}stripOptions(n){let e=[],t=0;for(;t<n.length;){let i=n[t];if(i.startsWith("-")){t++;let o=!1,r=this.findOption(this,i);if(r)o=r.isBoolean??!1;else for(let[,s]of this.commands){let a=this.findOption(s,i);if(a){o=a.isBoolean??!1;break}}!o&&t<n.length&&!n[t].startsWith("-")&&t++}else e.push(i),t++}return e}matchCommand(n){n=this.stripOptions(n);let e=[],t=[],i=null;for(let o=0;o<n.length;o++){let r=n[o];e.push(r);let s=this.commands.get(e.join(" "));if(s)i=s;else{t=n.slice(o,n.length);break}}return[i||this,t]}shouldCompleteFlags(n,e){if(e.startsWith("-"))return!0;if(n?.startsWith("-")){let t=this.findOption(this,n);if(!t){for(let[,i]of this.commands)if(t=this.findOption(i,n),t)break}return!(t&&t.isBoolean)}return!1}shouldCompleteCommands(n){return!n.startsWith("-")}handleFlagCompletion(n,e,t,i){let o;if(t.includes("=")){let[r]=t.split("=");o=r}else if(i?.startsWith("-")){let r=this.findOption(n,i);r&&!r.isBoolean&&(o=i)}if(o){let r=this.findOption(n,o);if(r?.handler){let s=[];r.handler.call(r,(a,l)=>s.push({value:a,description:l}),n.options),this.completions=s}return}if(t.startsWith("-")){let r=t.startsWith("-")&&!t.startsWith("--"),s=t.replace(/^-+/,"");for(let[a,l]of n.options)r&&l.alias&&`-${l.alias}`.startsWith(t)?this.completions.push({value:`-${l.alias}`,description:l.description}):!r&&a.startsWith(s)&&this.completions.push({value:`--${a}`,description:l.description})}}findOption(n,e){let t=n.options.get(e);if(t||(t=n.options.get(e.replace(/^-+/,"")),t))return t;for(let[i,o]of n.options)if(o.alias&&`-${o.alias}`===e)return o}handleCommandCompletion(n,e){let t=this.stripOptions(n);for(let[i,o]of this.commands){if(i==="")continue;let r=i.split(" ");r.slice(0,t.length).every((s,a)=>s===t[a])&&r[t.length]?.startsWith(e)&&this.completions.push({value:r[t.length],description:o.description})}}handlePositionalCompletion(n,e){let t=this.stripOptions(e),i=n.value.split(" ").length,o=Math.max(0,t.length-i),r=Array.from(n.arguments.entries());if(r.length>0){let s;if(o<r.length){let[a,l]=r[o];s=l}else{let a=r[r.length-1][1];a.variadic&&(s=a)}if(s&&s.handler&&typeof s.handler=="function"){let a=[];s.handler.call(s,(l,u)=>a.push({value:l,description:u}),n.options),this.completions.push(...a)}}}complete(n){this.directive=d.ShellCompDirectiveNoFileComp;let e=new Set;this.completions.filter(t=>e.has(t.value)?!1:(e.add(t.value),!0)).filter(t=>{if(n.includes("=")){let[,i]=n.split("=");return t.value.startsWith(i)}return t.value.startsWith(n)}).forEach(t=>console.log(`${t.value}	${t.description??""}`)),console.log(`:${this.directive}`)}parse(n){this.completions=[];let e=n[n.length-1]==="";e&&n.pop();let t=n[n.length-1]||"",i=n.slice(0,-1);e&&(t!==""&&i.push(t),t="");let[o]=this.matchCommand(i),r=i[i.length-1];this.shouldCompleteFlags(r,t)?this.handleFlagCompletion(o,i,t,r):(this.shouldCompleteCommands(t)&&this.handleCommandCompletion(i,t),o&&o.arguments.size>0&&this.handlePositionalCompletion(o,i)),this.complete(t)}setup(n,e,t){switch(se(t==="zsh"||t==="bash"||t==="fish"||t==="powershell","Unsupported shell"),t){case"zsh":{let i=j(n,e);console.log(i);break}case"bash":{let i=U(n,e);console.log(i);break}case"fish":{let i=B(n,e);console.log(i);break}case"powershell":{let i=K(n,e);console.log(i);break}}}},C=new ce;function j(n,e){return`#compdef ${n}
compdef _${n} ${n}

# zsh completion for ${n} -*- shell-script -*-

__${n}_debug() {
    local file="$BASH_COMP_DEBUG_FILE"
    if [[ -n \${file} ]]; then
        echo "$*" >> "\${file}"
    fi
}

_${n}() {
    local shellCompDirectiveError=${d.ShellCompDirectiveError}
    local shellCompDirectiveNoSpace=${d.ShellCompDirectiveNoSpace}
    local shellCompDirectiveNoFileComp=${d.ShellCompDirectiveNoFileComp}
    local shellCompDirectiveFilterFileExt=${d.ShellCompDirectiveFilterFileExt}
    local shellCompDirectiveFilterDirs=${d.ShellCompDirectiveFilterDirs}
    local shellCompDirectiveKeepOrder=${d.ShellCompDirectiveKeepOrder}

    local lastParam lastChar flagPrefix requestComp out directive comp lastComp noSpace keepOrder
    local -a completions

    __${n}_debug "\\n========= starting completion logic =========="
    __${n}_debug "CURRENT: \${CURRENT}, words[*]: \${words[*]}"

    # The user could have moved the cursor backwards on the command-line.
    # We need to trigger completion from the $CURRENT location, so we need
    # to truncate the command-line ($words) up to the $CURRENT location.
    # (We cannot use $CURSOR as its value does not work when a command is an alias.)
    words=( "\${=words[1,CURRENT]}" )
    __${n}_debug "Truncated words[*]: \${words[*]},"

    lastParam=\${words[-1]}
    lastChar=\${lastParam[-1]}
    __${n}_debug "lastParam: \${lastParam}, lastChar: \${lastChar}"

    # For zsh, when completing a flag with an = (e.g., ${n} -n=<TAB>)
    # completions must be prefixed with the flag
    setopt local_options BASH_REMATCH
    if [[ "\${lastParam}" =~ '-.*=' ]]; then
        # We are dealing with a flag with an =
        flagPrefix="-P \${BASH_REMATCH}"
    fi

    # Prepare the command to obtain completions, ensuring arguments are quoted for eval
    local -a args_to_quote=("\${(@)words[2,-1]}")
    if [ "\${lastChar}" = "" ] && [ "\${args_to_quote[-1]}" != "" ]; then
        # If the last parameter is complete (there is a space following it)
        # We add an extra empty parameter so we can indicate this to the go completion code.
        __${n}_debug "Adding extra empty parameter"
        args_to_quote+=("")
    fi

    # Use Zsh's (q) flag to quote each argument safely for eval
    local quoted_args=("\${(@q)args_to_quote}")

    # Join the main command and the quoted arguments into a single string for eval
    requestComp="${e} complete -- \${quoted_args[*]}"

    __${n}_debug "About to call: eval \${requestComp}"

    # Use eval to handle any environment variables and such
    out=$(eval \${requestComp} 2>/dev/null)
    __${n}_debug "completion output: \${out}"

    # Extract the directive integer following a : from the last line
    local lastLine
    while IFS='
' read -r line; do
        lastLine=\${line}
    done < <(printf "%s
" "\${out[@]}")
    __${n}_debug "last line: \${lastLine}"

    if [ "\${lastLine[1]}" = : ]; then
        directive=\${lastLine[2,-1]}
        # Remove the directive including the : and the newline
        local suffix
        (( suffix=\${#lastLine}+2))
        out=\${out[1,-$suffix]}
    else
        # There is no directive specified.  Leave $out as is.
        __${n}_debug "No directive found.  Setting to default"
        directive=0
    fi

    __${n}_debug "directive: \${directive}"
    __${n}_debug "completions: \${out}"
    __${n}_debug "flagPrefix: \${flagPrefix}"

    if [ $((directive & shellCompDirectiveError)) -ne 0 ]; then
        __${n}_debug "Completion received error. Ignoring completions."
        return
    fi

    local activeHelpMarker="%"
    local endIndex=\${#activeHelpMarker}
    local startIndex=$((\${#activeHelpMarker}+1))
    local hasActiveHelp=0
    while IFS='
' read -r comp; do
        # Check if this is an activeHelp statement (i.e., prefixed with $activeHelpMarker)
        if [ "\${comp[1,$endIndex]}" = "$activeHelpMarker" ];then
            __${n}_debug "ActiveHelp found: $comp"
            comp="\${comp[$startIndex,-1]}"
            if [ -n "$comp" ]; then
                compadd -x "\${comp}"
                __${n}_debug "ActiveHelp will need delimiter"
                hasActiveHelp=1
            fi
            continue
        fi

        if [ -n "$comp" ]; then
            # If requested, completions are returned with a description.
            # The description is preceded by a TAB character.
            # For zsh's _describe, we need to use a : instead of a TAB.
            # We first need to escape any : as part of the completion itself.
            comp=\${comp//:/\\:}

            local tab="$(printf '\\t')"
            comp=\${comp//$tab/:}

            __${n}_debug "Adding completion: \${comp}"
            completions+=\${comp}
            lastComp=$comp
        fi
    done < <(printf "%s
" "\${out[@]}")

    # Add a delimiter after the activeHelp statements, but only if:
    # - there are completions following the activeHelp statements, or
    # - file completion will be performed (so there will be choices after the activeHelp)
    if [ $hasActiveHelp -eq 1 ]; then
        if [ \${#completions} -ne 0 ] || [ $((directive & shellCompDirectiveNoFileComp)) -eq 0 ]; then
            __${n}_debug "Adding activeHelp delimiter"
            compadd -x "--"
            hasActiveHelp=0
        fi
    fi

    if [ $((directive & shellCompDirectiveNoSpace)) -ne 0 ]; then
        __${n}_debug "Activating nospace."
        noSpace="-S ''"
    fi

    if [ $((directive & shellCompDirectiveKeepOrder)) -ne 0 ]; then
        __${n}_debug "Activating keep order."
        keepOrder="-V"
    fi

    if [ $((directive & shellCompDirectiveFilterFileExt)) -ne 0 ]; then
        # File extension filtering
        local filteringCmd
        filteringCmd='_files'
        for filter in \${completions[@]}; do
            if [ \${filter[1]} != '*' ]; then
                # zsh requires a glob pattern to do file filtering
                filter="\\*.$filter"
            fi
            filteringCmd+=" -g $filter"
        done
        filteringCmd+=" \${flagPrefix}"

        __${n}_debug "File filtering command: $filteringCmd"
        _arguments '*:filename:'"$filteringCmd"
    elif [ $((directive & shellCompDirectiveFilterDirs)) -ne 0 ]; then
        # File completion for directories only
        local subdir
        subdir="\${completions[1]}"
        if [ -n "$subdir" ]; then
            __${n}_debug "Listing directories in $subdir"
            pushd "\${subdir}" >/dev/null 2>&1
        else
            __${n}_debug "Listing directories in ."
        fi

        local result
        _arguments '*:dirname:_files -/'" \${flagPrefix}"
        result=$?
        if [ -n "$subdir" ]; then
            popd >/dev/null 2>&1
        fi
        return $result
    else
        __${n}_debug "Calling _describe"
        if eval _describe $keepOrder "completions" completions -Q \${flagPrefix} \${noSpace}; then
            __${n}_debug "_describe found some completions"

            # Return the success of having called _describe
            return 0
        else
            __${n}_debug "_describe did not find completions."
            __${n}_debug "Checking if we should do file completion."
            if [ $((directive & shellCompDirectiveNoFileComp)) -ne 0 ]; then
                __${n}_debug "deactivating file completion"

                # Return 0 to indicate completion is finished and prevent zsh from
                # trying other completion algorithms (which could cause hanging).
                # We use NoFileComp directive to explicitly disable file completion.
                return 0
            else
                # Perform file completion
                __${n}_debug "Activating file completion"

                # We must return the result of this command, so it must be the
                # last command, or else we must store its result to return it.
                _arguments '*:filename:_files'" \${flagPrefix}"
            fi
        fi
    fi
}

# don't run the completion function when being sourced or eval-ed
if [ "\${funcstack[1]}" = "_${n}" ]; then
    _${n}
fi
`}function U(n,e){let t=n.replace(/[-:]/g,"_");return`# bash completion for ${n}

# Define shell completion directives
readonly ShellCompDirectiveError=${d.ShellCompDirectiveError}
readonly ShellCompDirectiveNoSpace=${d.ShellCompDirectiveNoSpace}
readonly ShellCompDirectiveNoFileComp=${d.ShellCompDirectiveNoFileComp}
readonly ShellCompDirectiveFilterFileExt=${d.ShellCompDirectiveFilterFileExt}
readonly ShellCompDirectiveFilterDirs=${d.ShellCompDirectiveFilterDirs}
readonly ShellCompDirectiveKeepOrder=${d.ShellCompDirectiveKeepOrder}

# Function to debug completion
__${t}_debug() {
    if [[ -n \${BASH_COMP_DEBUG_FILE:-} ]]; then
        echo "$*" >> "\${BASH_COMP_DEBUG_FILE}"
    fi
}

# Function to handle completions
__${t}_complete() {
    local cur prev words cword
    _get_comp_words_by_ref -n "=:" cur prev words cword

    local requestComp out directive
    
    # Build the command to get completions
    requestComp="${e} complete -- \${words[@]:1}"
    
    # Add an empty parameter if the last parameter is complete
    if [[ -z "$cur" ]]; then
        requestComp="$requestComp ''"
    fi
    
    # Get completions from the program
    out=$(eval "$requestComp" 2>/dev/null)
    
    # Extract directive if present
    directive=0
    if [[ "$out" == *:* ]]; then
        directive=\${out##*:}
        out=\${out%:*}
    fi
    
    # Process completions based on directive
    if [[ $((directive & $ShellCompDirectiveError)) -ne 0 ]]; then
        # Error, no completion
        return
    fi
    
    # Apply directives
    if [[ $((directive & $ShellCompDirectiveNoSpace)) -ne 0 ]]; then
        compopt -o nospace
    fi
    if [[ $((directive & $ShellCompDirectiveKeepOrder)) -ne 0 ]]; then
        compopt -o nosort
    fi
    if [[ $((directive & $ShellCompDirectiveNoFileComp)) -ne 0 ]]; then
        compopt +o default
    fi
    
    # Handle file extension filtering
    if [[ $((directive & $ShellCompDirectiveFilterFileExt)) -ne 0 ]]; then
        local filter=""
        for ext in $out; do
            filter="$filter|$ext"
        done
        filter="\\.($filter)"
        compopt -o filenames
        COMPREPLY=( $(compgen -f -X "!$filter" -- "$cur") )
        return
    fi
    
    # Handle directory filtering
    if [[ $((directive & $ShellCompDirectiveFilterDirs)) -ne 0 ]]; then
        compopt -o dirnames
        COMPREPLY=( $(compgen -d -- "$cur") )
        return
    fi
    
    # Process completions
    local IFS=$'\\n'
    local tab=$(printf '\\t')
    
    # Parse completions with descriptions
    local completions=()
    while read -r comp; do
        if [[ "$comp" == *$tab* ]]; then
            # Split completion and description
            local value=\${comp%%$tab*}
            local desc=\${comp#*$tab}
            completions+=("$value")
        else
            completions+=("$comp")
        fi
    done <<< "$out"
    
    # Return completions
    COMPREPLY=( $(compgen -W "\${completions[*]}" -- "$cur") )
}

# Register completion function
complete -F __${t}_complete ${n}
`}function B(n,e){let t=n.replace(/[-:]/g,"_"),i=d.ShellCompDirectiveError,o=d.ShellCompDirectiveNoSpace,r=d.ShellCompDirectiveNoFileComp,s=d.ShellCompDirectiveFilterFileExt,a=d.ShellCompDirectiveFilterDirs;return`# fish completion for ${n} -*- shell-script -*-

function __${t}_debug
    set -l file "$BASH_COMP_DEBUG_FILE"
    if test -n "$file"
        echo "$argv" >> $file
    end
end

function __${t}_perform_completion
    __${t}_debug "Starting __${t}_perform_completion"

    # Extract all args except the last one
    set -l args (commandline -opc)
    # Extract the token currently being completed (may be empty on a trailing space)
    set -l lastArg (commandline -ct)

    __${t}_debug "args: $args"
    __${t}_debug "last arg: $lastArg"

    # Pass each arg as its own token (no string join/eval, which would collapse multi-segment paths); quote "$lastArg" so an empty trailing token is still sent.
    __${t}_debug "Calling ${e} complete -- $args[2..-1] $lastArg"
    set -l results (${e} complete -- $args[2..-1] "$lastArg" 2> /dev/null)

    # Some programs may output extra empty lines after the directive.
    # Let's ignore them or else it will break completion.
    # Ref: https://github.com/spf13/cobra/issues/1279
    for line in $results[-1..1]
        if test (string trim -- $line) = ""
            # Found an empty line, remove it
            set results $results[1..-2]
        else
            # Found non-empty line, we have our proper output
            break
        end
    end

    set -l comps $results[1..-2]
    set -l directiveLine $results[-1]

    # For Fish, when completing a flag with an = (e.g., <program> -n=<TAB>)
    # completions must be prefixed with the flag
    set -l flagPrefix (string match -r -- '-.*=' "$lastArg")

    __${t}_debug "Comps: $comps"
    __${t}_debug "DirectiveLine: $directiveLine"
    __${t}_debug "flagPrefix: $flagPrefix"

    for comp in $comps
        printf "%s%s\\n" "$flagPrefix" "$comp"
    end

    printf "%s\\n" "$directiveLine"
end

# This function limits calls to __${t}_perform_completion, by caching the result
function __${t}_perform_completion_once
    __${t}_debug "Starting __${t}_perform_completion_once"

    if test -n "$__${t}_perform_completion_once_result"
        __${t}_debug "Seems like a valid result already exists, skipping __${t}_perform_completion"
        return 0
    end

    set --global __${t}_perform_completion_once_result (__${t}_perform_completion)
    if test -z "$__${t}_perform_completion_once_result"
        __${t}_debug "No completions, probably due to a failure"
        return 1
    end

    __${t}_debug "Performed completions and set __${t}_perform_completion_once_result"
    return 0
end

# This function is used to clear the cached result after completions are run
function __${t}_clear_perform_completion_once_result
    __${t}_debug ""
    __${t}_debug "========= clearing previously set __${t}_perform_completion_once_result variable =========="
    set --erase __${t}_perform_completion_once_result
    __${t}_debug "Successfully erased the variable __${t}_perform_completion_once_result"
end

function __${t}_requires_order_preservation
    __${t}_debug ""
    __${t}_debug "========= checking if order preservation is required =========="

    __${t}_perform_completion_once
    if test -z "$__${t}_perform_completion_once_result"
        __${t}_debug "Error determining if order preservation is required"
        return 1
    end

    set -l directive (string sub --start 2 $__${t}_perform_completion_once_result[-1])
    __${t}_debug "Directive is: $directive"

    set -l shellCompDirectiveKeepOrder ${d.ShellCompDirectiveKeepOrder}
    set -l keeporder (math (math --scale 0 $directive / $shellCompDirectiveKeepOrder) % 2)
    __${t}_debug "Keeporder is: $keeporder"

    if test $keeporder -ne 0
        __${t}_debug "This does require order preservation"
        return 0
    end

    __${t}_debug "This doesn't require order preservation"
    return 1
end

# This function does two things:
# - Obtain the completions and store them in the global __${t}_comp_results
# - Return false if file completion should be performed
function __${t}_prepare_completions
    __${t}_debug ""
    __${t}_debug "========= starting completion logic =========="

    # Start fresh
    set --erase __${t}_comp_results

    __${t}_perform_completion_once
    __${t}_debug "Completion results: $__${t}_perform_completion_once_result"

    if test -z "$__${t}_perform_completion_once_result"
        __${t}_debug "No completion, probably due to a failure"
        # Might as well do file completion, in case it helps
        return 1
    end

    set -l directive (string sub --start 2 $__${t}_perform_completion_once_result[-1])
    set --global __${t}_comp_results $__${t}_perform_completion_once_result[1..-2]

    __${t}_debug "Completions are: $__${t}_comp_results"
    __${t}_debug "Directive is: $directive"

    set -l shellCompDirectiveError ${i}
    set -l shellCompDirectiveNoSpace ${o}
    set -l shellCompDirectiveNoFileComp ${r}
    set -l shellCompDirectiveFilterFileExt ${s}
    set -l shellCompDirectiveFilterDirs ${a}

    if test -z "$directive"
        set directive 0
    end

    set -l compErr (math (math --scale 0 $directive / $shellCompDirectiveError) % 2)
    if test $compErr -eq 1
        __${t}_debug "Received error directive: aborting."
        # Might as well do file completion, in case it helps
        return 1
    end

    set -l filefilter (math (math --scale 0 $directive / $shellCompDirectiveFilterFileExt) % 2)
    set -l dirfilter (math (math --scale 0 $directive / $shellCompDirectiveFilterDirs) % 2)
    if test $filefilter -eq 1; or test $dirfilter -eq 1
        __${t}_debug "File extension filtering or directory filtering not supported"
        # Do full file completion instead
        return 1
    end

    set -l nospace (math (math --scale 0 $directive / $shellCompDirectiveNoSpace) % 2)
    set -l nofiles (math (math --scale 0 $directive / $shellCompDirectiveNoFileComp) % 2)

    __${t}_debug "nospace: $nospace, nofiles: $nofiles"

    # If we want to prevent a space, or if file completion is NOT disabled,
    # we need to count the number of valid completions.
    # To do so, we will filter on prefix as the completions we have received
    # may not already be filtered so as to allow fish to match on different
    # criteria than the prefix.
    if test $nospace -ne 0; or test $nofiles -eq 0
        set -l prefix (commandline -t | string escape --style=regex)
        __${t}_debug "prefix: $prefix"

        set -l completions (string match -r -- "^$prefix.*" $__${t}_comp_results)
        set --global __${t}_comp_results $completions
        __${t}_debug "Filtered completions are: $__${t}_comp_results"

        # Important not to quote the variable for count to work
        set -l numComps (count $__${t}_comp_results)
        __${t}_debug "numComps: $numComps"

        if test $numComps -eq 1; and test $nospace -ne 0
            # We must first split on \\t to get rid of the descriptions to be
            # able to check what the actual completion will be.
            # We don't need descriptions anyway since there is only a single
            # real completion which the shell will expand immediately.
            set -l split (string split --max 1 "\\t" $__${t}_comp_results[1])

            # Fish won't add a space if the completion ends with any
            # of the following characters: @=/:.,
            set -l lastChar (string sub -s -1 -- $split)
            if not string match -r -q "[@=/:.,]" -- "$lastChar"
                # In other cases, to support the "nospace" directive we trick the shell
                # by outputting an extra, longer completion.
                __${t}_debug "Adding second completion to perform nospace directive"
                set --global __${t}_comp_results $split[1] $split[1].
                __${t}_debug "Completions are now: $__${t}_comp_results"
            end
        end

        if test $numComps -eq 0; and test $nofiles -eq 0
            # To be consistent with bash and zsh, we only trigger file
            # completion when there are no other completions
            __${t}_debug "Requesting file completion"
            return 1
        end
    end

    return 0
end

# Since Fish completions are only loaded once the user triggers them, we trigger them ourselves
# so we can properly delete any completions provided by another script.
# Only do this if the program can be found, or else fish may print some errors; besides,
# the existing completions will only be loaded if the program can be found.
if type -q "${n}"
    # The space after the program name is essential to trigger completion for the program
    # and not completion of the program name itself.
    # Also, we use '> /dev/null 2>&1' since '&>' is not supported in older versions of fish.
    complete --do-complete "${n} " > /dev/null 2>&1
end

# Remove any pre-existing completions for the program since we will be handling all of them.
complete -c ${n} -e

# This will get called after the two calls below and clear the cached result
complete -c ${n} -n '__${t}_clear_perform_completion_once_result'
# The call to __${t}_prepare_completions will setup __${t}_comp_results
# which provides the program's completion choices.
# If this doesn't require order preservation, we don't use the -k flag
complete -c ${n} -n 'not __${t}_requires_order_preservation && __${t}_prepare_completions' -f -a '$__${t}_comp_results'
# Otherwise we use the -k flag
complete -k -c ${n} -n '__${t}_requires_order_preservation && __${t}_prepare_completions' -f -a '$__${t}_comp_results'
`}function K(n,e){let t=n.replace(/[-:]/g,"_");return`# powershell completion for ${n} -*- shell-script -*-

  [Console]::OutputEncoding = [System.Text.Encoding]::UTF8
    function __${n}_debug {
        if ($env:BASH_COMP_DEBUG_FILE) {
            "$args" | Out-File -Append -FilePath "$env:BASH_COMP_DEBUG_FILE"
        }
    }

    filter __${n}_escapeStringWithSpecialChars {
        $_ -replace '\\s|#|@|\\$|;|,|''|\\{|\\}|\\(|\\)|"|\\||<|>|&','\`$&'
    }

[scriptblock]$__${t}CompleterBlock = {
    param(
            $WordToComplete,
            $CommandAst,
            $CursorPosition
        )

    # Get the current command line and convert into a string
    $Command = $CommandAst.CommandElements
    $Command = "$Command"

    __${n}_debug ""
    __${n}_debug "========= starting completion logic =========="
    __${n}_debug "WordToComplete: $WordToComplete Command: $Command CursorPosition: $CursorPosition"

    # The user could have moved the cursor backwards on the command-line.
    # We need to trigger completion from the $CursorPosition location, so we need
    # to truncate the command-line ($Command) up to the $CursorPosition location.
    # Make sure the $Command is longer then the $CursorPosition before we truncate.
    # This happens because the $Command does not include the last space.
    if ($Command.Length -gt $CursorPosition) {
        $Command = $Command.Substring(0, $CursorPosition)
    }
    __${n}_debug "Truncated command: $Command"

    $ShellCompDirectiveError=${d.ShellCompDirectiveError}
    $ShellCompDirectiveNoSpace=${d.ShellCompDirectiveNoSpace}
    $ShellCompDirectiveNoFileComp=${d.ShellCompDirectiveNoFileComp}
    $ShellCompDirectiveFilterFileExt=${d.ShellCompDirectiveFilterFileExt}
    $ShellCompDirectiveFilterDirs=${d.ShellCompDirectiveFilterDirs}
    $ShellCompDirectiveKeepOrder=${d.ShellCompDirectiveKeepOrder}

    # Prepare the command to request completions for the program.
    # Split the command at the first space to separate the program and arguments.
    $Program, $Arguments = $Command.Split(" ", 2)

    $QuotedArgs = ($Arguments -split ' ' | ForEach-Object { "'" + ($_ -replace "'", "''") + "'" }) -join ' '
    __${n}_debug "QuotedArgs: $QuotedArgs"

    $RequestComp = "& ${e} complete '--' $QuotedArgs"
    __${n}_debug "RequestComp: $RequestComp"

    # we cannot use $WordToComplete because it
    # has the wrong values if the cursor was moved
    # so use the last argument
    if ($WordToComplete -ne "" ) {
        $WordToComplete = $Arguments.Split(" ")[-1]
    }
    __${n}_debug "New WordToComplete: $WordToComplete"


    # Check for flag with equal sign
    $IsEqualFlag = ($WordToComplete -Like "--*=*" )
    if ( $IsEqualFlag ) {
        __${n}_debug "Completing equal sign flag"
        # Remove the flag part
        $Flag, $WordToComplete = $WordToComplete.Split("=", 2)
    }
    $HasTrailingEmptyArg = $QuotedArgs -match "(^| )''$"
    __${n}_debug "HasTrailingEmptyArg: $HasTrailingEmptyArg"
    
    if ( $WordToComplete -eq "" -And ( -Not $IsEqualFlag ) -And ( -Not $HasTrailingEmptyArg )) {
        # If the last parameter is complete (there is a space following it)
        # We add an extra empty parameter so we can indicate this to the go method.
        __${n}_debug "Adding extra empty parameter"
        # PowerShell 7.2+ changed the way how the arguments are passed to executables,
        # so for pre-7.2 or when Legacy argument passing is enabled we need to use
        if ($PSVersionTable.PsVersion -lt [version]'7.2.0' -or
            ($PSVersionTable.PsVersion -lt [version]'7.3.0' -and -not [ExperimentalFeature]::IsEnabled("PSNativeCommandArgumentPassing")) -or
            (($PSVersionTable.PsVersion -ge [version]'7.3.0' -or [ExperimentalFeature]::IsEnabled("PSNativeCommandArgumentPassing")) -and
              $PSNativeCommandArgumentPassing -eq 'Legacy')) {
             $RequestComp="$RequestComp" + ' \`"\`"'
        } else {
             $RequestComp = "$RequestComp" + ' ""'
        }
    }

    __${n}_debug "Calling $RequestComp"
    # First disable ActiveHelp which is not supported for Powershell
    $env:ActiveHelp = 0

    # call the command store the output in $out and redirect stderr and stdout to null
    # $Out is an array contains each line per element
    Invoke-Expression -OutVariable out "$RequestComp" 2>&1 | Out-Null

    # get directive from last line
    [int]$Directive = $Out[-1].TrimStart(':')
    if ($Directive -eq "") {
        # There is no directive specified
        $Directive = 0
    }
    __${n}_debug "The completion directive is: $Directive"

    # remove directive (last element) from out
    $Out = $Out | Where-Object { $_ -ne $Out[-1] }
    __${n}_debug "The completions are: $Out"

    if (($Directive -band $ShellCompDirectiveError) -ne 0 ) {
        # Error code.  No completion.
        __${n}_debug "Received error from custom completion go code"
        return
    }

    $Longest = 0
    [Array]$Values = $Out | ForEach-Object {
        # Split the output in name and description
        $Name, $Description = $_.Split("\`t", 2)
        __${n}_debug "Name: $Name Description: $Description"

        # Look for the longest completion so that we can format things nicely
        if ($Longest -lt $Name.Length) {
            $Longest = $Name.Length
        }

        # Set the description to a one space string if there is none set.
        # This is needed because the CompletionResult does not accept an empty string as argument
        if (-Not $Description) {
            $Description = " "
        }
        @{ Name = "$Name"; Description = "$Description" }
    }


    $Space = " "
    if (($Directive -band $ShellCompDirectiveNoSpace) -ne 0 ) {
        # remove the space here
        __${n}_debug "ShellCompDirectiveNoSpace is called"
        $Space = ""
    }

    if ((($Directive -band $ShellCompDirectiveFilterFileExt) -ne 0 ) -or
       (($Directive -band $ShellCompDirectiveFilterDirs) -ne 0 ))  {
        __${n}_debug "ShellCompDirectiveFilterFileExt ShellCompDirectiveFilterDirs are not supported"

        # return here to prevent the completion of the extensions
        return
    }

    $Values = $Values | Where-Object {
        # filter the result
        $_.Name -like "$WordToComplete*"

        # Join the flag back if we have an equal sign flag
        if ( $IsEqualFlag ) {
            __${n}_debug "Join the equal sign flag back to the completion value"
            $_.Name = $Flag + "=" + $_.Name
        }
    }

    # we sort the values in ascending order by name if keep order isn't passed
    if (($Directive -band $ShellCompDirectiveKeepOrder) -eq 0 ) {
        $Values = $Values | Sort-Object -Property Name
    }

    if (($Directive -band $ShellCompDirectiveNoFileComp) -ne 0 ) {
        __${n}_debug "ShellCompDirectiveNoFileComp is called"

        if ($Values.Length -eq 0) {
            # Just print an empty string here so the
            # shell does not start to complete paths.
            # We cannot use CompletionResult here because
            # it does not accept an empty string as argument.
            ""
            return
        }
    }

    # Get the current mode
    $Mode = (Get-PSReadLineKeyHandler | Where-Object { $_.Key -eq "Tab" }).Function
    __${n}_debug "Mode: $Mode"

    $Values | ForEach-Object {

        # store temporary because switch will overwrite $_
        $comp = $_

        # PowerShell supports three different completion modes
        # - TabCompleteNext (default windows style - on each key press the next option is displayed)
        # - Complete (works like bash)
        # - MenuComplete (works like zsh)
        # You set the mode with Set-PSReadLineKeyHandler -Key Tab -Function <mode>

        # CompletionResult Arguments:
        # 1) CompletionText text to be used as the auto completion result
        # 2) ListItemText   text to be displayed in the suggestion list
        # 3) ResultType     type of completion result
        # 4) ToolTip        text for the tooltip with details about the object

        switch ($Mode) {

            # bash like
            "Complete" {

                if ($Values.Length -eq 1) {
                    __${n}_debug "Only one completion left"

                    # insert space after value
                    [System.Management.Automation.CompletionResult]::new($($comp.Name | __${n}_escapeStringWithSpecialChars) + $Space, "$($comp.Name)", 'ParameterValue', "$($comp.Description)")

                } else {
                    # Add the proper number of spaces to align the descriptions
                    while($comp.Name.Length -lt $Longest) {
                        $comp.Name = $comp.Name + " "
                    }

                    # Check for empty description and only add parentheses if needed
                    if ($($comp.Description) -eq " " ) {
                        $Description = ""
                    } else {
                        $Description = "  ($($comp.Description))"
                    }

                    [System.Management.Automation.CompletionResult]::new("$($comp.Name)$Description", "$($comp.Name)$Description", 'ParameterValue', "$($comp.Description)")
                }
             }

            # zsh like
            "MenuComplete" {
                # insert space after value
                # MenuComplete will automatically show the ToolTip of
                # the highlighted value at the bottom of the suggestions.
                [System.Management.Automation.CompletionResult]::new($($comp.Name | __${n}_escapeStringWithSpecialChars) + $Space, "$($comp.Name)", 'ParameterValue', "$($comp.Description)")
            }

            # TabCompleteNext and in case we get something unknown
            Default {
                # Like MenuComplete but we don't want to add a space here because
                # the user need to press space anyway to get the completion.
                # Description will not be shown because that's not possible with TabCompleteNext
                [System.Management.Automation.CompletionResult]::new($($comp.Name | __${n}_escapeStringWithSpecialChars), "$($comp.Name)", 'ParameterValue', "$($comp.Description)")
            }
        }

    }
}

Register-ArgumentCompleter -CommandName '${n}' -ScriptBlock $__${t}CompleterBlock
`}function z(n,e){let t=n.name(),i=e?.completionCommandName??"complete",o=n.createCommand(i).description("Generate shell completion scripts").addArgument(n.createArgument("<shell>","Shell type for completion script").choices(["zsh","bash","fish","powershell"])).action(s=>{C.setup(t,t,s)});o.copyInheritedSettings(n);let r=n.createCommand("complete").description("Generate completion suggestions").usage("-- [args...]").argument("[args...]").action(s=>{if(i!=="complete"){let a=n.rawArgs;s.length===1&&!a.includes("--")&&n.error(`error: completion requests are called like \`complete -- [args]\`.
(Did you mean \`${i} ${s[0]}\` to generate shell script?)`)}C.parse(s)});return r.copyInheritedSettings(n),i==="complete"?n.command("complete").description("Generate shell completion scripts").argument("[shell]",'shell type (choices: "zsh", "bash", "fish", "powershell")').allowExcessArguments().action((s,a,l)=>{let u=n.rawArgs,c=u.indexOf("complete"),p=u.indexOf("--");c!==-1&&p!==-1&&p===c+1?r.parse(["--",...l.args],{from:"user"}):o.parse(l.args,{from:"user"})}):(n.addCommand(o),n.addCommand(r,{hidden:!0})),pe(n),ue(n),C}function J(n,e){let t=e.createHelp().visibleOptions(e);for(let i of t){let o=i.short?.slice(1);o&&o[0]==="-"&&(o=void 0);let r=i.long?.slice(2);if(r){let s=i.required||i.optional,a=i.argChoices??[],l;s&&a.length>0?l=u=>{for(let c of a)u(c,"")}:s&&(l=()=>{}),l?n.option(r,i.description,l,o):n.option(r,i.description,o)}}}function pe(n){J(C,n),Y(C,n)}function Y(n,e){for(let t of e.registeredArguments){let i=t.argChoices;i?.length?n.argument(t.name(),o=>{for(let r of i)o(r,"")},t.variadic):n.argument(t.name(),void 0,t.variadic)}}function ue(n){let e=new Map;Q(n,"",e);for(let[t,i]of e.entries()){if(t==="")continue;let o=C.command(t,i.description()||"");J(o,i),Y(o,i)}}function Q(n,e,t){t.set(e,n);let i=n.createHelp().visibleCommands(n);for(let o of i)Q(o,e?`${e} ${o.name()}`:o.name(),t)}var g=class extends Error{constructor(e,t,i){super(i),Error.captureStackTrace(this,this.constructor),this.name=this.constructor.name,this.code=t,this.exitCode=e,this.nestedError=void 0}},b=class extends g{constructor(e){super(1,"commander.invalidArgument",e),Error.captureStackTrace(this,this.constructor),this.name=this.constructor.name}};var S=class{constructor(e,t){switch(this.description=t||"",this.variadic=!1,this.parseArg=void 0,this.defaultValue=void 0,this.defaultValueDescription=void 0,this.argChoices=void 0,e[0]){case"<":this.required=!0,this._name=e.slice(1,-1);break;case"[":this.required=!1,this._name=e.slice(1,-1);break;default:this.required=!0,this._name=e;break}this._name.endsWith("...")&&(this.variadic=!0,this._name=this._name.slice(0,-3))}name(){return this._name}_collectValue(e,t){return t===this.defaultValue||!Array.isArray(t)?[e]:(t.push(e),t)}default(e,t){return this.defaultValue=e,this.defaultValueDescription=t,this}argParser(e){return this.parseArg=e,this}choices(e){return this.argChoices=e.slice(),this.parseArg=(t,i)=>{if(!this.argChoices.includes(t))throw new b(`Allowed choices are ${this.argChoices.join(", ")}.`);return this.variadic?this._collectValue(t,i):t},this}argRequired(){return this.required=!0,this}argOptional(){return this.required=!1,this}};function k(n){let e=n.name()+(n.variadic===!0?"...":"");return n.required?"<"+e+">":"["+e+"]"}import{EventEmitter as fe}from"node:events";import I from"node:child_process";import _ from"node:path";import H from"node:fs";import m from"node:process";import{stripVTControlCharacters as ge}from"node:util";import{stripVTControlCharacters as he}from"node:util";var x=class{constructor(){this.helpWidth=void 0,this.minWidthToWrap=40,this.sortSubcommands=!1,this.sortOptions=!1,this.showGlobalOptions=!1}prepareContext(e){this.helpWidth=this.helpWidth??e.helpWidth??80}visibleCommands(e){let t=e.commands.filter(o=>!o._hidden),i=e._getHelpCommand();return i&&!i._hidden&&t.push(i),this.sortSubcommands&&t.sort((o,r)=>o.name().localeCompare(r.name())),t}compareOptions(e,t){let i=o=>o.short?o.short.replace(/^-/,""):o.long.replace(/^--/,"");return i(e).localeCompare(i(t))}visibleOptions(e){let t=e.options.filter(o=>!o.hidden),i=e._getHelpOption();if(i&&!i.hidden){let o=i.short&&e._findOption(i.short),r=i.long&&e._findOption(i.long);!o&&!r?t.push(i):i.long&&!r?t.push(e.createOption(i.long,i.description).helpGroup(i.helpGroupHeading)):i.short&&!o&&t.push(e.createOption(i.short,i.description).helpGroup(i.helpGroupHeading))}return this.sortOptions&&t.sort(this.compareOptions),t}visibleGlobalOptions(e){if(!this.showGlobalOptions)return[];let t=[];for(let i=e.parent;i;i=i.parent){let o=i.options.filter(r=>!r.hidden);t.push(...o)}return this.sortOptions&&t.sort(this.compareOptions),t}visibleArguments(e){return e._argsDescription&&e.registeredArguments.forEach(t=>{t.description=t.description||e._argsDescription[t.name()]||""}),e.registeredArguments.find(t=>t.description)?e.registeredArguments:[]}subcommandTerm(e){let t=e.registeredArguments.map(i=>k(i)).join(" ");return e._name+(e._aliases[0]?"|"+e._aliases[0]:"")+(e.options.length?" [options]":"")+(t?" "+t:"")}optionTerm(e){return e.flags}argumentTerm(e){return e.name()}longestSubcommandTermLength(e,t){return t.visibleCommands(e).reduce((i,o)=>Math.max(i,this.displayWidth(t.styleSubcommandTerm(t.subcommandTerm(o)))),0)}longestOptionTermLength(e,t){return t.visibleOptions(e).reduce((i,o)=>Math.max(i,this.displayWidth(t.styleOptionTerm(t.optionTerm(o)))),0)}longestGlobalOptionTermLength(e,t){return t.visibleGlobalOptions(e).reduce((i,o)=>Math.max(i,this.displayWidth(t.styleOptionTerm(t.optionTerm(o)))),0)}longestArgumentTermLength(e,t){return t.visibleArguments(e).reduce((i,o)=>Math.max(i,this.displayWidth(t.styleArgumentTerm(t.argumentTerm(o)))),0)}commandUsage(e){let t=e._name;e._aliases[0]&&(t=t+"|"+e._aliases[0]);let i="";for(let o=e.parent;o;o=o.parent)i=o.name()+" "+i;return i+t+" "+e.usage()}commandDescription(e){return e.description()}subcommandDescription(e){return e.summary()||e.description()}optionDescription(e){let t=[];if(e.argChoices&&t.push(`choices: ${e.argChoices.map(i=>JSON.stringify(i)).join(", ")}`),e.defaultValue!==void 0&&(e.required||e.optional||e.isBoolean()&&typeof e.defaultValue=="boolean")&&t.push(`default: ${e.defaultValueDescription||JSON.stringify(e.defaultValue)}`),e.presetArg!==void 0&&e.optional&&t.push(`preset: ${JSON.stringify(e.presetArg)}`),e.envVar!==void 0&&t.push(`env: ${e.envVar}`),t.length>0){let i=`(${t.join(", ")})`;return e.description?`${e.description} ${i}`:i}return e.description}argumentDescription(e){let t=[];if(e.argChoices&&t.push(`choices: ${e.argChoices.map(i=>JSON.stringify(i)).join(", ")}`),e.defaultValue!==void 0&&t.push(`default: ${e.defaultValueDescription||JSON.stringify(e.defaultValue)}`),t.length>0){let i=`(${t.join(", ")})`;return e.description?`${e.description} ${i}`:i}return e.description}formatItemList(e,t,i){return t.length===0?[]:[i.styleTitle(e),...t,""]}groupItems(e,t,i){let o=new Map;return e.forEach(r=>{let s=i(r);o.has(s)||o.set(s,[])}),t.forEach(r=>{let s=i(r);o.has(s)||o.set(s,[]),o.get(s).push(r)}),o}formatHelp(e,t){let i=t.padWidth(e,t),o=t.helpWidth??80;function r(p,h){return t.formatItem(p,i,h,t)}let s=[`${t.styleTitle("Usage:")} ${t.styleUsage(t.commandUsage(e))}`,""],a=t.commandDescription(e);a.length>0&&(s=s.concat([t.boxWrap(t.styleCommandDescription(a),o),""]));let l=t.visibleArguments(e).map(p=>r(t.styleArgumentTerm(t.argumentTerm(p)),t.styleArgumentDescription(t.argumentDescription(p))));if(s=s.concat(this.formatItemList("Arguments:",l,t)),this.groupItems(e.options,t.visibleOptions(e),p=>p.helpGroupHeading??"Options:").forEach((p,h)=>{let v=p.map($=>r(t.styleOptionTerm(t.optionTerm($)),t.styleOptionDescription(t.optionDescription($))));s=s.concat(this.formatItemList(h,v,t))}),t.showGlobalOptions){let p=t.visibleGlobalOptions(e).map(h=>r(t.styleOptionTerm(t.optionTerm(h)),t.styleOptionDescription(t.optionDescription(h))));s=s.concat(this.formatItemList("Global Options:",p,t))}return this.groupItems(e.commands,t.visibleCommands(e),p=>p.helpGroup()||"Commands:").forEach((p,h)=>{let v=p.map($=>r(t.styleSubcommandTerm(t.subcommandTerm($)),t.styleSubcommandDescription(t.subcommandDescription($))));s=s.concat(this.formatItemList(h,v,t))}),s.join(`
`)}displayWidth(e){return he(e).length}styleTitle(e){return e}styleUsage(e){return e.split(" ").map(t=>t==="[options]"?this.styleOptionText(t):t==="[command]"?this.styleSubcommandText(t):t[0]==="["||t[0]==="<"?this.styleArgumentText(t):this.styleCommandText(t)).join(" ")}styleCommandDescription(e){return this.styleDescriptionText(e)}styleOptionDescription(e){return this.styleDescriptionText(e)}styleSubcommandDescription(e){return this.styleDescriptionText(e)}styleArgumentDescription(e){return this.styleDescriptionText(e)}styleDescriptionText(e){return e}styleOptionTerm(e){return this.styleOptionText(e)}styleSubcommandTerm(e){return e.split(" ").map(t=>t==="[options]"?this.styleOptionText(t):t[0]==="["||t[0]==="<"?this.styleArgumentText(t):this.styleSubcommandText(t)).join(" ")}styleArgumentTerm(e){return this.styleArgumentText(e)}styleOptionText(e){return e}styleArgumentText(e){return e}styleSubcommandText(e){return e}styleCommandText(e){return e}padWidth(e,t){return Math.max(t.longestOptionTermLength(e,t),t.longestGlobalOptionTermLength(e,t),t.longestSubcommandTermLength(e,t),t.longestArgumentTermLength(e,t))}preformatted(e){return/\n[^\S\r\n]/.test(e)}formatItem(e,t,i,o){let s=" ".repeat(2);if(!i)return s+e;let a=e.padEnd(t+e.length-o.displayWidth(e)),l=2,c=(this.helpWidth??80)-t-l-2,p;return c<this.minWidthToWrap||o.preformatted(i)?p=i:p=o.boxWrap(i,c).replace(/\n/g,`
`+" ".repeat(t+l)),s+a+" ".repeat(l)+p.replace(/\n/g,`
${s}`)}boxWrap(e,t){if(t<this.minWidthToWrap)return e;let i=e.split(/\r\n|\n/),o=/[\s]*[^\s]+/g,r=[];return i.forEach(s=>{let a=s.match(o);if(a===null){r.push("");return}let l=[a.shift()],u=this.displayWidth(l[0]);a.forEach(c=>{let p=this.displayWidth(c);if(u+p<=t){l.push(c),u+=p;return}r.push(l.join(""));let h=c.trimStart();l=[h],u=this.displayWidth(h)}),r.push(l.join(""))}),r.join(`
`)}};var f=class{constructor(e,t){this.flags=e,this.description=t||"",this.required=e.includes("<"),this.optional=e.includes("["),this.variadic=new RegExp("\\p{ID_Continue}\\.\\.\\.[>\\]]$","u").test(e),this.mandatory=!1;let i=me(e);this.short=i.shortFlag,this.long=i.longFlag,this.negate=!1,this.long&&(this.negate=this.long.startsWith("--no-")),this.defaultValue=void 0,this.defaultValueDescription=void 0,this.presetArg=void 0,this.envVar=void 0,this.parseArg=void 0,this.hidden=!1,this.argChoices=void 0,this.conflictsWith=[],this.implied=void 0,this.helpGroupHeading=void 0}default(e,t){return this.defaultValue=e,this.defaultValueDescription=t,this}preset(e){return this.presetArg=e,this}conflicts(e){return this.conflictsWith=this.conflictsWith.concat(e),this}implies(e){let t=e;return typeof e=="string"&&(t={[e]:!0}),this.implied=Object.assign(this.implied||{},t),this}env(e){return this.envVar=e,this}argParser(e){return this.parseArg=e,this}makeOptionMandatory(e=!0){return this.mandatory=!!e,this}hideHelp(e=!0){return this.hidden=!!e,this}_collectValue(e,t){return t===this.defaultValue||!Array.isArray(t)?[e]:(t.push(e),t)}choices(e){return this.argChoices=e.slice(),this.parseArg=(t,i)=>{if(!this.argChoices.includes(t))throw new b(`Allowed choices are ${this.argChoices.join(", ")}.`);return this.variadic?this._collectValue(t,i):t},this}name(){return this.long?this.long.replace(/^--/,""):this.short.replace(/^-/,"")}attributeName(){return this.negate?X(this.name().replace(/^no-/,"")):X(this.name())}helpGroup(e){return this.helpGroupHeading=e,this}is(e){return this.short===e||this.long===e}isBoolean(){return!this.required&&!this.optional&&!this.negate}},P=class{constructor(e){this.positiveOptions=new Map,this.negativeOptions=new Map,this.dualOptions=new Set,e.forEach(t=>{t.negate?this.negativeOptions.set(t.attributeName(),t):this.positiveOptions.set(t.attributeName(),t)}),this.negativeOptions.forEach((t,i)=>{this.positiveOptions.has(i)&&this.dualOptions.add(i)})}valueFromOption(e,t){let i=t.attributeName();if(!this.dualOptions.has(i))return!0;let o=this.negativeOptions.get(i).presetArg,r=o!==void 0?o:!1;return t.negate===(r===e)}};function X(n){return n.split("-").reduce((e,t)=>e+t[0].toUpperCase()+t.slice(1))}function me(n){let e,t,i=/^-[^-]$/,o=/^--[^-]/,r=n.split(/[ |,]+/).concat("guard");if(i.test(r[0])&&(e=r.shift()),o.test(r[0])&&(t=r.shift()),!e&&i.test(r[0])&&(e=r.shift()),!e&&o.test(r[0])&&(e=t,t=r.shift()),r[0].startsWith("-")){let s=r[0],a=`option creation failed due to '${s}' in option flags '${n}'`;throw/^-[^-][^-]/.test(s)?new Error(`${a}
- a short flag is a single dash and a single character
  - either use a single dash and a single character (for a short flag)
  - or use a double dash for a long option (and can have two, like '--ws, --workspace')`):i.test(s)?new Error(`${a}
- too many short flags`):o.test(s)?new Error(`${a}
- too many long flags`):new Error(`${a}
- unrecognised flag format`)}if(e===void 0&&t===void 0)throw new Error(`option creation failed due to no flags found in '${n}'.`);return{shortFlag:e,longFlag:t}}function de(n,e){if(Math.abs(n.length-e.length)>3)return Math.max(n.length,e.length);let t=[];for(let i=0;i<=n.length;i++)t[i]=[i];for(let i=0;i<=e.length;i++)t[0][i]=i;for(let i=1;i<=e.length;i++)for(let o=1;o<=n.length;o++){let r;n[o-1]===e[i-1]?r=0:r=1,t[o][i]=Math.min(t[o-1][i]+1,t[o][i-1]+1,t[o-1][i-1]+r),o>1&&i>1&&n[o-1]===e[i-2]&&n[o-2]===e[i-1]&&(t[o][i]=Math.min(t[o][i],t[o-2][i-2]+1))}return t[n.length][e.length]}function W(n,e){if(!e||e.length===0)return"";e=Array.from(new Set(e));let t=n.startsWith("--");t&&(n=n.slice(2),e=e.map(s=>s.slice(2)));let i=[],o=3,r=.4;return e.forEach(s=>{if(s.length<=1)return;let a=de(n,s),l=Math.max(n.length,s.length);(l-a)/l>r&&(a<o?(o=a,i=[s]):a===o&&i.push(s))}),i.sort((s,a)=>s.localeCompare(a)),t&&(i=i.map(s=>`--${s}`)),i.length>1?`
(Did you mean one of ${i.join(", ")}?)`:i.length===1?`
(Did you mean ${i[0]}?)`:""}var O=class n extends fe{constructor(e){super(),this.commands=[],this.options=[],this.parent=null,this._allowUnknownOption=!1,this._allowExcessArguments=!1,this.registeredArguments=[],this._args=this.registeredArguments,this.args=[],this.rawArgs=[],this.processedArgs=[],this._scriptPath=null,this._name=e||"",this._optionValues={},this._optionValueSources={},this._storeOptionsAsProperties=!1,this._actionHandler=null,this._executableHandler=!1,this._executableFile=null,this._executableDir=null,this._defaultCommandName=null,this._exitCallback=null,this._aliases=[],this._combineFlagAndOptionalValue=!0,this._description="",this._summary="",this._argsDescription=void 0,this._enablePositionalOptions=!1,this._passThroughOptions=!1,this._lifeCycleHooks={},this._showHelpAfterError=!1,this._showSuggestionAfterError=!0,this._savedState=null,this._outputConfiguration={writeOut:t=>m.stdout.write(t),writeErr:t=>m.stderr.write(t),outputError:(t,i)=>i(t),getOutHelpWidth:()=>m.stdout.isTTY?m.stdout.columns:void 0,getErrHelpWidth:()=>m.stderr.isTTY?m.stderr.columns:void 0,getOutHasColors:()=>ee()??(m.stdout.isTTY&&m.stdout.hasColors?.()),getErrHasColors:()=>ee()??(m.stderr.isTTY&&m.stderr.hasColors?.()),stripColor:t=>ge(t)},this._hidden=!1,this._helpOption=void 0,this._addImplicitHelpCommand=void 0,this._helpCommand=void 0,this._helpConfiguration={},this._helpGroupHeading=void 0,this._defaultCommandGroup=void 0,this._defaultOptionGroup=void 0}copyInheritedSettings(e){return this._outputConfiguration=e._outputConfiguration,this._helpOption=e._helpOption,this._helpCommand=e._helpCommand,this._helpConfiguration=e._helpConfiguration,this._exitCallback=e._exitCallback,this._storeOptionsAsProperties=e._storeOptionsAsProperties,this._combineFlagAndOptionalValue=e._combineFlagAndOptionalValue,this._allowExcessArguments=e._allowExcessArguments,this._enablePositionalOptions=e._enablePositionalOptions,this._showHelpAfterError=e._showHelpAfterError,this._showSuggestionAfterError=e._showSuggestionAfterError,this}_getCommandAndAncestors(){let e=[];for(let t=this;t;t=t.parent)e.push(t);return e}command(e,t,i){let o=t,r=i;typeof o=="object"&&o!==null&&(r=o,o=null),r=r||{};let[,s,a]=e.match(/([^ ]+) *(.*)/),l=this.createCommand(s);return o&&(l.description(o),l._executableHandler=!0),r.isDefault&&(this._defaultCommandName=l._name),l._hidden=!!(r.noHelp||r.hidden),l._executableFile=r.executableFile||null,a&&l.arguments(a),this._registerCommand(l),l.parent=this,l.copyInheritedSettings(this),o?this:l}createCommand(e){return new n(e)}createHelp(){return Object.assign(new x,this.configureHelp())}configureHelp(e){return e===void 0?this._helpConfiguration:(this._helpConfiguration=e,this)}configureOutput(e){return e===void 0?this._outputConfiguration:(this._outputConfiguration={...this._outputConfiguration,...e},this)}showHelpAfterError(e=!0){return typeof e!="string"&&(e=!!e),this._showHelpAfterError=e,this}showSuggestionAfterError(e=!0){return this._showSuggestionAfterError=!!e,this}addCommand(e,t){if(!e._name)throw new Error(`Command passed to .addCommand() must have a name
- specify the name in Command constructor or using .name()`);return t=t||{},t.isDefault&&(this._defaultCommandName=e._name),(t.noHelp||t.hidden)&&(e._hidden=!0),this._registerCommand(e),e.parent=this,e._checkForBrokenPassThrough(),this}createArgument(e,t){return new S(e,t)}argument(e,t,i,o){let r=this.createArgument(e,t);return typeof i=="function"?r.default(o).argParser(i):r.default(i),this.addArgument(r),this}arguments(e){return e.trim().split(/ +/).forEach(t=>{this.argument(t)}),this}addArgument(e){let t=this.registeredArguments.slice(-1)[0];if(t?.variadic)throw new Error(`only the last argument can be variadic '${t.name()}'`);if(e.required&&e.defaultValue!==void 0&&e.parseArg===void 0)throw new Error(`a default value for a required argument is never used: '${e.name()}'`);return this.registeredArguments.push(e),this}helpCommand(e,t){if(typeof e=="boolean")return this._addImplicitHelpCommand=e,e&&this._defaultCommandGroup&&this._initCommandGroup(this._getHelpCommand()),this;let i=e??"help [command]",[,o,r]=i.match(/([^ ]+) *(.*)/),s=t??"display help for command",a=this.createCommand(o);return a.helpOption(!1),r&&a.arguments(r),s&&a.description(s),this._addImplicitHelpCommand=!0,this._helpCommand=a,(e||t)&&this._initCommandGroup(a),this}addHelpCommand(e,t){return typeof e!="object"?(this.helpCommand(e,t),this):(this._addImplicitHelpCommand=!0,this._helpCommand=e,this._initCommandGroup(e),this)}_getHelpCommand(){return this._addImplicitHelpCommand??(this.commands.length&&!this._actionHandler&&!this._findCommand("help"))?(this._helpCommand===void 0&&this.helpCommand(void 0,void 0),this._helpCommand):null}hook(e,t){let i=["preSubcommand","preAction","postAction"];if(!i.includes(e))throw new Error(`Unexpected value for event passed to hook : '${e}'.
Expecting one of '${i.join("', '")}'`);return this._lifeCycleHooks[e]?this._lifeCycleHooks[e].push(t):this._lifeCycleHooks[e]=[t],this}exitOverride(e){return e?this._exitCallback=e:this._exitCallback=t=>{if(t.code!=="commander.executeSubCommandAsync")throw t},this}_exit(e,t,i){this._exitCallback&&this._exitCallback(new g(e,t,i)),m.exit(e)}action(e){let t=i=>{let o=this.registeredArguments.length,r=i.slice(0,o);return this._storeOptionsAsProperties?r[o]=this:r[o]=this.opts(),r.push(this),e.apply(this,r)};return this._actionHandler=t,this}createOption(e,t){return new f(e,t)}_callParseArg(e,t,i,o){try{return e.parseArg(t,i)}catch(r){if(r.code==="commander.invalidArgument"){let s=`${o} ${r.message}`;this.error(s,{exitCode:r.exitCode,code:r.code})}throw r}}_registerOption(e){let t=e.short&&this._findOption(e.short)||e.long&&this._findOption(e.long);if(t){let i=e.long&&this._findOption(e.long)?e.long:e.short;throw new Error(`Cannot add option '${e.flags}'${this._name&&` to command '${this._name}'`} due to conflicting flag '${i}'
-  already used by option '${t.flags}'`)}this._initOptionGroup(e),this.options.push(e)}_registerCommand(e){let t=o=>[o.name()].concat(o.aliases()),i=t(e).find(o=>this._findCommand(o));if(i){let o=t(this._findCommand(i)).join("|"),r=t(e).join("|");throw new Error(`cannot add command '${r}' as already have command '${o}'`)}this._initCommandGroup(e),this.commands.push(e)}addOption(e){this._registerOption(e);let t=e.name(),i=e.attributeName();e.defaultValue!==void 0&&this.setOptionValueWithSource(i,e.defaultValue,"default");let o=(r,s,a)=>{r==null&&e.presetArg!==void 0&&(r=e.presetArg);let l=this.getOptionValue(i);r!==null&&e.parseArg?r=this._callParseArg(e,r,l,s):r!==null&&e.variadic&&(r=e._collectValue(r,l)),r==null&&(e.negate?r=!1:e.isBoolean()||e.optional?r=!0:r=""),this.setOptionValueWithSource(i,r,a)};return this.on("option:"+t,r=>{let s=`error: option '${e.flags}' argument '${r}' is invalid.`;o(r,s,"cli")}),e.envVar&&this.on("optionEnv:"+t,r=>{let s=`error: option '${e.flags}' value '${r}' from env '${e.envVar}' is invalid.`;o(r,s,"env")}),this}_optionEx(e,t,i,o,r){if(typeof t=="object"&&t instanceof f)throw new Error("To add an Option object use addOption() instead of option() or requiredOption()");let s=this.createOption(t,i);if(s.makeOptionMandatory(!!e.mandatory),typeof o=="function")s.default(r).argParser(o);else if(o instanceof RegExp){let a=o;o=(l,u)=>{let c=a.exec(l);return c?c[0]:u},s.default(r).argParser(o)}else s.default(o);return this.addOption(s)}option(e,t,i,o){return this._optionEx({},e,t,i,o)}requiredOption(e,t,i,o){return this._optionEx({mandatory:!0},e,t,i,o)}combineFlagAndOptionalValue(e=!0){return this._combineFlagAndOptionalValue=!!e,this}allowUnknownOption(e=!0){return this._allowUnknownOption=!!e,this}allowExcessArguments(e=!0){return this._allowExcessArguments=!!e,this}enablePositionalOptions(e=!0){return this._enablePositionalOptions=!!e,this}passThroughOptions(e=!0){return this._passThroughOptions=!!e,this._checkForBrokenPassThrough(),this}_checkForBrokenPassThrough(){if(this.parent&&this._passThroughOptions&&!this.parent._enablePositionalOptions)throw new Error(`passThroughOptions cannot be used for '${this._name}' without turning on enablePositionalOptions for parent command(s)`)}storeOptionsAsProperties(e=!0){if(this.options.length)throw new Error("call .storeOptionsAsProperties() before adding options");if(Object.keys(this._optionValues).length)throw new Error("call .storeOptionsAsProperties() before setting option values");return this._storeOptionsAsProperties=!!e,this}getOptionValue(e){return this._storeOptionsAsProperties?this[e]:this._optionValues[e]}setOptionValue(e,t){return this.setOptionValueWithSource(e,t,void 0)}setOptionValueWithSource(e,t,i){return this._storeOptionsAsProperties?this[e]=t:this._optionValues[e]=t,this._optionValueSources[e]=i,this}getOptionValueSource(e){return this._optionValueSources[e]}getOptionValueSourceWithGlobals(e){let t;return this._getCommandAndAncestors().forEach(i=>{Object.hasOwn(i._optionValueSources,e)&&(t=i.getOptionValueSource(e))}),t}_prepareUserArgs(e,t){if(e!==void 0&&!Array.isArray(e))throw new Error("first parameter to parse must be array or undefined");if(t=t||{},e===void 0&&t.from===void 0){m.versions?.electron&&(t.from="electron");let o=m.execArgv??[];(o.includes("-e")||o.includes("--eval")||o.includes("-p")||o.includes("--print"))&&(t.from="eval")}e===void 0&&(e=m.argv),this.rawArgs=e.slice();let i;switch(t.from){case void 0:case"node":this._scriptPath=e[1],i=e.slice(2);break;case"electron":m.defaultApp?(this._scriptPath=e[1],i=e.slice(2)):i=e.slice(1);break;case"user":i=e.slice(0);break;case"eval":i=e.slice(1);break;default:throw new Error(`unexpected parse option { from: '${t.from}' }`)}return!this._name&&this._scriptPath&&this.nameFromFilename(this._scriptPath),this._name=this._name||"program",i}parse(e,t){this._prepareForParse();let i=this._prepareUserArgs(e,t);return this._parseCommand([],i),this}async parseAsync(e,t){this._prepareForParse();let i=this._prepareUserArgs(e,t);return await this._parseCommand([],i),this}_prepareForParse(){this._savedState===null?(this.options.filter(e=>e.negate&&e.defaultValue===void 0&&this.getOptionValue(e.attributeName())===void 0).forEach(e=>{let t=e.long.replace(/^--no-/,"--");this._findOption(t)||this.setOptionValueWithSource(e.attributeName(),!0,"default")}),this.saveStateBeforeParse()):this.restoreStateBeforeParse()}saveStateBeforeParse(){this._savedState={_name:this._name,_optionValues:{...this._optionValues},_optionValueSources:{...this._optionValueSources}}}restoreStateBeforeParse(){if(this._storeOptionsAsProperties)throw new Error(`Can not call parse again when storeOptionsAsProperties is true.
- either make a new Command for each call to parse, or stop storing options as properties`);this._name=this._savedState._name,this._scriptPath=null,this.rawArgs=[],this._optionValues={...this._savedState._optionValues},this._optionValueSources={...this._savedState._optionValueSources},this.args=[],this.processedArgs=[]}_checkForMissingExecutable(e,t,i){if(H.existsSync(e))return;let o=t?`searched for local subcommand relative to directory '${t}'`:"no directory for search for local subcommand, use .executableDir() to supply a custom directory",r=`'${e}' does not exist
 - if '${i}' is not meant to be an executable command, remove description parameter from '.command()' and use '.description()' instead
 - if the default executable name is not suitable, use the executableFile option to supply a custom name or path
 - ${o}`;throw new Error(r)}_executeSubCommand(e,t){t=t.slice();let i=[".js",".ts",".tsx",".mjs",".cjs"];function o(c,p){let h=_.resolve(c,p);if(H.existsSync(h))return h;if(i.includes(_.extname(p)))return;let v=i.find($=>H.existsSync(`${h}${$}`));if(v)return`${h}${v}`}this._checkForMissingMandatoryOptions(),this._checkForConflictingOptions();let r=e._executableFile||`${this._name}-${e._name}`,s=this._executableDir||"";if(this._scriptPath){let c;try{c=H.realpathSync(this._scriptPath)}catch{c=this._scriptPath}s=_.resolve(_.dirname(c),s)}if(s){let c=o(s,r);if(!c&&!e._executableFile&&this._scriptPath){let p=_.basename(this._scriptPath,_.extname(this._scriptPath));p!==this._name&&(c=o(s,`${p}-${e._name}`))}r=c||r}let a=i.includes(_.extname(r)),l;m.platform!=="win32"?a?(t.unshift(r),t=Z(m.execArgv).concat(t),l=I.spawn(m.argv[0],t,{stdio:"inherit"})):l=I.spawn(r,t,{stdio:"inherit"}):(this._checkForMissingExecutable(r,s,e._name),t.unshift(r),t=Z(m.execArgv).concat(t),l=I.spawn(m.execPath,t,{stdio:"inherit"})),l.killed||["SIGUSR1","SIGUSR2","SIGTERM","SIGINT","SIGHUP"].forEach(p=>{m.on(p,()=>{l.killed===!1&&l.exitCode===null&&l.kill(p)})});let u=this._exitCallback;l.on("close",c=>{c=c??1,u?u(new g(c,"commander.executeSubCommandAsync","(close)")):m.exit(c)}),l.on("error",c=>{if(c.code==="ENOENT")this._checkForMissingExecutable(r,s,e._name);else if(c.code==="EACCES")throw new Error(`'${r}' not executable`);if(!u)m.exit(1);else{let p=new g(1,"commander.executeSubCommandAsync","(error)");p.nestedError=c,u(p)}}),this.runningCommand=l}_dispatchSubcommand(e,t,i){let o=this._findCommand(e);o||this.help({error:!0}),o._prepareForParse();let r;return r=this._chainOrCallSubCommandHook(r,o,"preSubcommand"),r=this._chainOrCall(r,()=>{if(o._executableHandler)this._executeSubCommand(o,t.concat(i));else return o._parseCommand(t,i)}),r}_dispatchHelpCommand(e){e||this.help();let t=this._findCommand(e);return t&&!t._executableHandler&&t.help(),this._dispatchSubcommand(e,[],[this._getHelpOption()?.long??this._getHelpOption()?.short??"--help"])}_checkNumberOfArguments(){this.registeredArguments.forEach((e,t)=>{e.required&&this.args[t]==null&&this.missingArgument(e.name())}),!(this.registeredArguments.length>0&&this.registeredArguments[this.registeredArguments.length-1].variadic)&&this.args.length>this.registeredArguments.length&&this._excessArguments(this.args)}_processArguments(){let e=(i,o,r)=>{let s=o;if(o!==null&&i.parseArg){let a=`error: command-argument value '${o}' is invalid for argument '${i.name()}'.`;s=this._callParseArg(i,o,r,a)}return s};this._checkNumberOfArguments();let t=[];this.registeredArguments.forEach((i,o)=>{let r=i.defaultValue;i.variadic?o<this.args.length?(r=this.args.slice(o),i.parseArg&&(r=r.reduce((s,a)=>e(i,a,s),i.defaultValue))):r===void 0&&(r=[]):o<this.args.length&&(r=this.args[o],i.parseArg&&(r=e(i,r,i.defaultValue))),t[o]=r}),this.processedArgs=t}_chainOrCall(e,t){return e?.then&&typeof e.then=="function"?e.then(()=>t()):t()}_chainOrCallHooks(e,t){let i=e,o=[];return this._getCommandAndAncestors().reverse().filter(r=>r._lifeCycleHooks[t]!==void 0).forEach(r=>{r._lifeCycleHooks[t].forEach(s=>{o.push({hookedCommand:r,callback:s})})}),t==="postAction"&&o.reverse(),o.forEach(r=>{i=this._chainOrCall(i,()=>r.callback(r.hookedCommand,this))}),i}_chainOrCallSubCommandHook(e,t,i){let o=e;return this._lifeCycleHooks[i]!==void 0&&this._lifeCycleHooks[i].forEach(r=>{o=this._chainOrCall(o,()=>r(this,t))}),o}_parseCommand(e,t){let i=this.parseOptions(t);if(this._parseOptionsEnv(),this._parseOptionsImplied(),e=e.concat(i.operands),t=i.unknown,this.args=e.concat(t),e&&this._findCommand(e[0]))return this._dispatchSubcommand(e[0],e.slice(1),t);if(this._getHelpCommand()&&e[0]===this._getHelpCommand().name())return this._dispatchHelpCommand(e[1]);if(this._defaultCommandName)return this._outputHelpIfRequested(t),this._dispatchSubcommand(this._defaultCommandName,e,t);this.commands.length&&this.args.length===0&&!this._actionHandler&&!this._defaultCommandName&&this.help({error:!0}),this._outputHelpIfRequested(i.unknown),this._checkForMissingMandatoryOptions(),this._checkForConflictingOptions();let o=()=>{i.unknown.length>0&&this.unknownOption(i.unknown[0])},r=`command:${this.name()}`;if(this._actionHandler){o(),this._processArguments();let s;return s=this._chainOrCallHooks(s,"preAction"),s=this._chainOrCall(s,()=>this._actionHandler(this.processedArgs)),this.parent&&(s=this._chainOrCall(s,()=>{this.parent.emit(r,e,t)})),s=this._chainOrCallHooks(s,"postAction"),s}if(this.parent?.listenerCount(r))o(),this._processArguments(),this.parent.emit(r,e,t);else if(e.length){if(this._findCommand("*"))return this._dispatchSubcommand("*",e,t);this.listenerCount("command:*")?this.emit("command:*",e,t):this.commands.length?this.unknownCommand():(o(),this._processArguments())}else this.commands.length?(o(),this.help({error:!0})):(o(),this._processArguments())}_findCommand(e){if(e)return this.commands.find(t=>t._name===e||t._aliases.includes(e))}_findOption(e){return this.options.find(t=>t.is(e))}_checkForMissingMandatoryOptions(){this._getCommandAndAncestors().forEach(e=>{e.options.forEach(t=>{t.mandatory&&e.getOptionValue(t.attributeName())===void 0&&e.missingMandatoryOptionValue(t)})})}_checkForConflictingLocalOptions(){let e=this.options.filter(i=>{let o=i.attributeName();return this.getOptionValue(o)===void 0?!1:this.getOptionValueSource(o)!=="default"});e.filter(i=>i.conflictsWith.length>0).forEach(i=>{let o=e.find(r=>i.conflictsWith.includes(r.attributeName()));o&&this._conflictingOption(i,o)})}_checkForConflictingOptions(){this._getCommandAndAncestors().forEach(e=>{e._checkForConflictingLocalOptions()})}parseOptions(e){let t=[],i=[],o=t;function r(c){return c.length>1&&c[0]==="-"}let s=c=>/^-(\d+|\d*\.\d+)([eE][+-]?\d+)?$/.test(c)?!this._getCommandAndAncestors().some(p=>p.options.map(h=>h.short).some(h=>/^-\d$/.test(h))):!1,a=null,l=null,u=0;for(;u<e.length||l;){let c=l??e[u++];if(l=null,c==="--"){o===i&&o.push(c),o.push(...e.slice(u));break}if(a&&(!r(c)||s(c))){this.emit(`option:${a.name()}`,c);continue}if(a=null,r(c)){let p=this._findOption(c);if(p){if(p.required){let h=e[u++];h===void 0&&this.optionMissingArgument(p),this.emit(`option:${p.name()}`,h)}else if(p.optional){let h=null;u<e.length&&(!r(e[u])||s(e[u]))&&(h=e[u++]),this.emit(`option:${p.name()}`,h)}else this.emit(`option:${p.name()}`);a=p.variadic?p:null;continue}}if(c.length>2&&c[0]==="-"&&c[1]!=="-"){let p=this._findOption(`-${c[1]}`);if(p){p.required||p.optional&&this._combineFlagAndOptionalValue?this.emit(`option:${p.name()}`,c.slice(2)):(this.emit(`option:${p.name()}`),l=`-${c.slice(2)}`);continue}}if(/^--[^=]+=/.test(c)){let p=c.indexOf("="),h=this._findOption(c.slice(0,p));if(h&&(h.required||h.optional)){this.emit(`option:${h.name()}`,c.slice(p+1));continue}}if(o===t&&r(c)&&!(this.commands.length===0&&s(c))&&(o=i),(this._enablePositionalOptions||this._passThroughOptions)&&t.length===0&&i.length===0){if(this._findCommand(c)){t.push(c),i.push(...e.slice(u));break}else if(this._getHelpCommand()&&c===this._getHelpCommand().name()){t.push(c,...e.slice(u));break}else if(this._defaultCommandName){i.push(c,...e.slice(u));break}}if(this._passThroughOptions){o.push(c,...e.slice(u));break}o.push(c)}return{operands:t,unknown:i}}opts(){if(this._storeOptionsAsProperties){let e={},t=this.options.length;for(let i=0;i<t;i++){let o=this.options[i].attributeName();e[o]=o===this._versionOptionName?this._version:this[o]}return e}return this._optionValues}optsWithGlobals(){return this._getCommandAndAncestors().reduce((e,t)=>Object.assign(e,t.opts()),{})}error(e,t){this._outputConfiguration.outputError(`${e}
`,this._outputConfiguration.writeErr),typeof this._showHelpAfterError=="string"?this._outputConfiguration.writeErr(`${this._showHelpAfterError}
`):this._showHelpAfterError&&(this._outputConfiguration.writeErr(`
`),this.outputHelp({error:!0}));let i=t||{},o=i.exitCode||1,r=i.code||"commander.error";this._exit(o,r,e)}_parseOptionsEnv(){this.options.forEach(e=>{if(e.envVar&&e.envVar in m.env){let t=e.attributeName();(this.getOptionValue(t)===void 0||["default","config","env"].includes(this.getOptionValueSource(t)))&&(e.required||e.optional?this.emit(`optionEnv:${e.name()}`,m.env[e.envVar]):this.emit(`optionEnv:${e.name()}`))}})}_parseOptionsImplied(){let e=new P(this.options),t=i=>this.getOptionValue(i)!==void 0&&!["default","implied"].includes(this.getOptionValueSource(i));this.options.filter(i=>i.implied!==void 0&&t(i.attributeName())&&e.valueFromOption(this.getOptionValue(i.attributeName()),i)).forEach(i=>{Object.keys(i.implied).filter(o=>!t(o)).forEach(o=>{this.setOptionValueWithSource(o,i.implied[o],"implied")})})}missingArgument(e){let t=`error: missing required argument '${e}'`;this.error(t,{code:"commander.missingArgument"})}optionMissingArgument(e){let t=`error: option '${e.flags}' argument missing`;this.error(t,{code:"commander.optionMissingArgument"})}missingMandatoryOptionValue(e){let t=`error: required option '${e.flags}' not specified`;this.error(t,{code:"commander.missingMandatoryOptionValue"})}_conflictingOption(e,t){let i=s=>{let a=s.attributeName(),l=this.getOptionValue(a),u=this.options.find(p=>p.negate&&a===p.attributeName()),c=this.options.find(p=>!p.negate&&a===p.attributeName());return u&&(u.presetArg===void 0&&l===!1||u.presetArg!==void 0&&l===u.presetArg)?u:c||s},o=s=>{let a=i(s),l=a.attributeName();return this.getOptionValueSource(l)==="env"?`environment variable '${a.envVar}'`:`option '${a.flags}'`},r=`error: ${o(e)} cannot be used with ${o(t)}`;this.error(r,{code:"commander.conflictingOption"})}unknownOption(e){if(this._allowUnknownOption)return;let t="";if(e.startsWith("--")&&this._showSuggestionAfterError){let o=[],r=this;do{let s=r.createHelp().visibleOptions(r).filter(a=>a.long).map(a=>a.long);o=o.concat(s),r=r.parent}while(r&&!r._enablePositionalOptions);t=W(e,o)}let i=`error: unknown option '${e}'${t}`;this.error(i,{code:"commander.unknownOption"})}_excessArguments(e){if(this._allowExcessArguments)return;let t=this.registeredArguments.length,i=t===1?"":"s",o=e.length,r=this.parent?` for '${this.name()}'`:"",s=e.join(", "),a=`error: too many arguments${r}. Expected ${t} argument${i} but got ${o}: ${s}.`;this.error(a,{code:"commander.excessArguments"})}unknownCommand(){let e=this.args[0],t="";if(this._showSuggestionAfterError){let o=[];this.createHelp().visibleCommands(this).forEach(r=>{o.push(r.name()),r.alias()&&o.push(r.alias())}),t=W(e,o)}let i=`error: unknown command '${e}'${t}`;this.error(i,{code:"commander.unknownCommand"})}version(e,t,i){if(e===void 0)return this._version;this._version=e,t=t||"-V, --version",i=i||"output the version number";let o=this.createOption(t,i);return this._versionOptionName=o.attributeName(),this._registerOption(o),this.on("option:"+o.name(),()=>{this._outputConfiguration.writeOut(`${e}
`),this._exit(0,"commander.version",e)}),this}description(e,t){return e===void 0&&t===void 0?this._description:(this._description=e,t&&(this._argsDescription=t),this)}summary(e){return e===void 0?this._summary:(this._summary=e,this)}alias(e){if(e===void 0)return this._aliases[0];let t=this;if(this.commands.length!==0&&this.commands[this.commands.length-1]._executableHandler&&(t=this.commands[this.commands.length-1]),e===t._name)throw new Error("Command alias can't be the same as its name");let i=this.parent?._findCommand(e);if(i){let o=[i.name()].concat(i.aliases()).join("|");throw new Error(`cannot add alias '${e}' to command '${this.name()}' as already have command '${o}'`)}return t._aliases.push(e),this}aliases(e){return e===void 0?this._aliases:(e.forEach(t=>this.alias(t)),this)}usage(e){if(e===void 0){if(this._usage)return this._usage;let t=this.registeredArguments.map(i=>k(i));return[].concat(this.options.length||this._helpOption!==null?"[options]":[],this.commands.length?"[command]":[],this.registeredArguments.length?t:[]).join(" ")}return this._usage=e,this}name(e){return e===void 0?this._name:(this._name=e,this)}helpGroup(e){return e===void 0?this._helpGroupHeading??"":(this._helpGroupHeading=e,this)}commandsGroup(e){return e===void 0?this._defaultCommandGroup??"":(this._defaultCommandGroup=e,this)}optionsGroup(e){return e===void 0?this._defaultOptionGroup??"":(this._defaultOptionGroup=e,this)}_initOptionGroup(e){this._defaultOptionGroup&&!e.helpGroupHeading&&e.helpGroup(this._defaultOptionGroup)}_initCommandGroup(e){this._defaultCommandGroup&&!e.helpGroup()&&e.helpGroup(this._defaultCommandGroup)}nameFromFilename(e){return this._name=_.basename(e,_.extname(e)),this}executableDir(e){return e===void 0?this._executableDir:(this._executableDir=e,this)}helpInformation(e){let t=this.createHelp(),i=this._getOutputContext(e);t.prepareContext({error:i.error,helpWidth:i.helpWidth,outputHasColors:i.hasColors});let o=t.formatHelp(this,t);return i.hasColors?o:this._outputConfiguration.stripColor(o)}_getOutputContext(e){e=e||{};let t=!!e.error,i,o,r;return t?(i=a=>this._outputConfiguration.writeErr(a),o=this._outputConfiguration.getErrHasColors(),r=this._outputConfiguration.getErrHelpWidth()):(i=a=>this._outputConfiguration.writeOut(a),o=this._outputConfiguration.getOutHasColors(),r=this._outputConfiguration.getOutHelpWidth()),{error:t,write:a=>(o||(a=this._outputConfiguration.stripColor(a)),i(a)),hasColors:o,helpWidth:r}}outputHelp(e){let t;typeof e=="function"&&(t=e,e=void 0);let i=this._getOutputContext(e),o={error:i.error,write:i.write,command:this};this._getCommandAndAncestors().reverse().forEach(s=>s.emit("beforeAllHelp",o)),this.emit("beforeHelp",o);let r=this.helpInformation({error:i.error});if(t&&(r=t(r),typeof r!="string"&&!Buffer.isBuffer(r)))throw new Error("outputHelp callback must return a string or a Buffer");i.write(r),this._getHelpOption()?.long&&this.emit(this._getHelpOption().long),this.emit("afterHelp",o),this._getCommandAndAncestors().forEach(s=>s.emit("afterAllHelp",o))}helpOption(e,t){return typeof e=="boolean"?(e?(this._helpOption===null&&(this._helpOption=void 0),this._defaultOptionGroup&&this._initOptionGroup(this._getHelpOption())):this._helpOption=null,this):(this._helpOption=this.createOption(e??"-h, --help",t??"display help for command"),(e||t)&&this._initOptionGroup(this._helpOption),this)}_getHelpOption(){return this._helpOption===void 0&&this.helpOption(void 0,void 0),this._helpOption}addHelpOption(e){return this._helpOption=e,this._initOptionGroup(e),this}help(e){this.outputHelp(e);let t=Number(m.exitCode??0);t===0&&e&&typeof e!="function"&&e.error&&(t=1),this._exit(t,"commander.help","(outputHelp)")}addHelpText(e,t){let i=["beforeAll","before","after","afterAll"];if(!i.includes(e))throw new Error(`Unexpected value for position to addHelpText.
Expecting one of '${i.join("', '")}'`);let o=`${e}Help`;return this.on(o,r=>{let s;typeof t=="function"?s=t({error:r.error,command:r.command}):s=t,s&&r.write(`${s}
`)}),this}_outputHelpIfRequested(e){let t=this._getHelpOption();t&&e.find(o=>t.is(o))&&(this.outputHelp(),this._exit(0,"commander.helpDisplayed","(outputHelp)"))}};function Z(n){return n.map(e=>{if(!e.startsWith("--inspect"))return e;let t,i="127.0.0.1",o="9229",r;return(r=e.match(/^(--inspect(-brk|-wait)?)$/))!==null?t=r[1]:(r=e.match(/^(--inspect(-brk|-port|-wait)?)=(\[[^\]]+\]|[^:]+)$/))!==null?(t=r[1],/^\d+$/.test(r[3])?o=r[3]:i=r[3]):(r=e.match(/^(--inspect(-brk|-port|-wait)?)=(\[[^\]]+\]|[^:]+):(\d+)$/))!==null&&(t=r[1],i=r[3],o=r[4]),t&&o!=="0"?`${t}=${i}:${parseInt(o)+1}`:e})}function ee(){if(m.env.NO_COLOR||m.env.FORCE_COLOR==="0"||m.env.FORCE_COLOR==="false")return!1;if(m.env.FORCE_COLOR||m.env.CLICOLOR_FORCE!==void 0)return!0}var Ot=new O;var te=["output","outputs","summary","junit"];function ie(){return[new f("--output <text|json>","With json, prints the report to standard output and the lines to standard error.").choices(["text","json"]).default("text"),new f("--outputs <file>","Writes the outputs as variables (dotenv): MESH_VERDICT, MESH_WEIGHT, \u2026"),new f("--summary <file>","Writes the summary as Markdown."),new f("--junit <file>","Writes a JUnit report with a test for each stage, each promotion and each experiment.")]}var oe="MESH_CANARY_";function N(n){return`${oe}${n.toUpperCase().replaceAll("-","_")}`}function A(){let n=T();return[new f("--config <file>","Path of a config file. An option overrides the value in the file."),...Object.entries(V).map(([e,{path:t,yaml:i}])=>_e(e,G(t,n),i!==void 0))]}function _e(n,e,t){let i=e.type==="boolean",o=new f(i?`--${n} [true|false]`:`--${n} <value>`,$e(e,t));i?o.preset("true"):e.type?.includes("array")&&o.argParser((s,a)=>a===void 0?s:`${a}
${s}`);let r=i?["true","false"]:e.enum??e.items?.enum??e.properties?.mode?.enum;return r&&(o.argChoices=r),o}function $e({description:n="",default:e},t){let i=Ce(e);return`${n}${t?" (YAML)":""}${i&&` Default: ${i}.`}`}function Ce(n){return Array.isArray(n)?n.join(", "):typeof n=="object"?"":String(n??"")}function E(n,e){let t=["config",...Object.keys(V)];be([...t,...te].map(N),e);let i=n.options.filter(s=>t.includes(s.name())).flatMap(s=>{let a=n.getOptionValue(s.attributeName());return a===void 0?[]:[[`INPUT_${s.name().toUpperCase()}`,a]]}),{INPUT_KUBECONFIG:o="",...r}=Object.fromEntries(i);if(n.getOptionValueSource("kubeconfig")==="cli"&&ve(o))throw new w(`--kubeconfig: expected a path. Other users of the machine can read a command line with \`ps\`, so pass the content in the variable ${N("kubeconfig")}`);return{...r,INPUT_KUBECONFIG:o}}function be(n,e){let t=Object.keys(e).find(i=>i.startsWith(oe)&&!n.includes(i));if(t!==void 0)throw new w(`the variable ${t} is unknown${q(t,n)}`)}function ve(n){return/[\n{]|: /.test(n)||n.length>1e3}var we="Installs an Istio mesh in a Kubernetes cluster, applies traffic policies, verifies the sidecars, and promotes a canary by evidence or rolls it back.",ye={plan:"show what the policies would change, or without a cluster, print the objects as YAML",verify:"check pods, proxies and mTLS",promote:"move the traffic to the canary step by step while the evidence is good",experiment:"inject the faults of the experiments, and report how the mesh handled them",rollback:"return all traffic to stable, in any state of the promotion",uninstall:"remove the mesh, including policies and sidecars"},re=`
Every option is also an input of the action, a key of the config file, and an environment variable:
--success-rate is MESH_CANARY_SUCCESS_RATE. An option overrides a variable, and a variable overrides the file.
Pass secrets in variables or files, because other users of the machine can read options.

Exit codes: 0 success: done, promoted, or nothing to do; 1 failure: failed, rolled back, fragile, or inconclusive;
2 rejected: the input is wrong, and nothing changed; 129, 130 or 143 cancelled by SIGHUP, SIGINT or SIGTERM, and rolled back
(or held, with \`onCancel: hold\`).`,Se=`
The result begins with comments: every field that it does not express, with its place, its value, and what to do instead.
It goes to standard output, and nothing is read but the files. Exit codes: 0 success; 2 a file is wrong.`;async function Lt(n,e){for(let i of[process.stdout,process.stderr])i.on("error",()=>{});M(process.stdout);let t=0;try{return await xe(e,async i=>{t=await i}).parseAsync(n,{from:"user"}),t}catch(i){if(i instanceof g)return i.exitCode===0?0:2;if(!(i instanceof w))throw i;return R(process.stderr,process.env).error(i.message),2}}function xe(n,e){let t=new O("mesh-canary").description(we).version(n).exitOverride().configureOutput({outputError:(i,o)=>o(Ae(i))}).configureHelp({optionDescription:({description:i})=>i}).addHelpText("after",re);return Ee(t,e),De(t,e),Fe(t,e),Te(t,e),ke(t,e),t.command("schema").description("print the JSON Schema of the config file, for editors").action(()=>{console.log(JSON.stringify(T(),null,2))}),Pe(t),t}function Ae(n){return n.replace(/(--?[\w-]+)=[^'\n]*/g,"$1=\u2026")}function D(n,e,t,i){let o=n.command(e).description(t).addHelpText("after",re);for(let r of i)o.addOption(r);return o}function F(n,e){return n.map(t=>t.env(N(t.name())).helpGroup(e))}function Ee(n,e){let t=F(A(),"Inputs:"),i=F(ie(),"Output:");D(n,"run","run the stages that the config needs",[...t,...i]).action((r,s)=>e(ne(s,void 0)));let o=t.filter(({long:r})=>r!=="--stages");for(let[r,s]of Object.entries(ye))D(n,r,`${s} (run --stages ${r})`,[...o,...i]).action((a,l)=>e(ne(l,r)))}function De(n,e){let t=F(A(),"Inputs:").filter(({long:i=""})=>["--namespace","--kubeconfig","--context"].includes(i));D(n,"init","write a config template for the objects in the namespace",t).argument("[file]","file to write; `-` prints to standard output","mesh.yaml").option("--force","overwrite an existing file").action((i,{force:o=!1},r)=>e(He(r,i,o)))}function Fe(n,e){let t=F(A(),"Inputs:").filter(({long:i})=>i!=="--stages");D(n,"simulate","show the chances of the canary in virtual time; changes nothing",t).option("--rate <number>","requests per second that the service gets; default: what the live mesh shows").option("--runs <number>","simulated promotions for each failure rate","400").option("--chart <file>","file to write the chart to, in SVG").action((i,o)=>e(We(o)))}function Te(n,e){n.command("convert").description("print a config for objects of Flagger or Argo Rollouts, or with --to, such objects for a config").argument("<file...>","files with a Canary or a Rollout, and with the templates that it names; with --to, a config file").addOption(new f("--to <engine>","the engine to print objects for").choices(["flagger","argo-rollouts"])).addHelpText("after",Se).action((t,{to:i})=>e(Ne(t,i)))}function ke(n,e){let t=F(A(),"Inputs:").filter(({long:i=""})=>["--config","--namespace","--kubeconfig","--context"].includes(i));D(n,"status","show the promotions and experiments in progress in the cluster; changes nothing",t).option("--watch","keep showing them until Ctrl-C").action((i,o)=>e(Ve(o)))}function Pe(n){for(let{options:e}of z(n).commands.values()){let t=e.get("config");t&&(t.handler=i=>{for(let o of Oe("*.{yaml,yml}").sort())i(o,"")})}}async function ne(n,e){let{output:t,outputs:i,summary:o,junit:r}=n.opts(),s={...E(n,process.env),...e?{INPUT_STAGES:e}:{}},a=y(s,process.env),{runCommand:l}=await import("./run-UI2O73TG.js");return l(a,{output:t,...i?{outputs:i}:{},...o?{summary:o}:{},...r?{junit:r}:{}})}async function He(n,e,t){let i=y(E(n,process.env)),{writeConfig:o}=await import("./init-YQSAQORQ.js");return o(i,e,t)}async function Ne(n,e){let{convertFiles:t}=await import("./convert-CYSF6NQN.js");return t(n,e)}async function Ve(n){let e=y(E(n,process.env),process.env),{showStatus:t}=await import("./status-JST3GSV2.js");return t(e,{watch:n.opts().watch??!1})}async function We(n){let e=y(E(n,process.env),process.env),{simulateConfig:t}=await import("./simulate-TCDJGMCR.js");return t(e,n.opts())}export{Lt as main};
