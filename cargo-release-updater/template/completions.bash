
# `cargo updater ...`: the words behind `updater` are completed as those of `cargo-updater`; everything else is Cargo's.
if ! declare -F _cargo >/dev/null; then
    # Loaded when somebody first completes `cargo`, which we are about to take over.
    if declare -F _comp_load >/dev/null; then
        _comp_load cargo
    elif declare -F __load_completion >/dev/null; then
        __load_completion cargo
    fi >/dev/null 2>&1
fi

_cargo_and_updater() {
    if [[ ${COMP_CWORD} -ge 2 && ${COMP_WORDS[1]} == updater ]]; then
        local -a behind=("${COMP_WORDS[@]:2}")
        local -a COMP_WORDS
        COMP_WORDS=(cargo-updater "${behind[@]}")
        local COMP_CWORD=$((COMP_CWORD - 1))
        _cargo_updater cargo-updater "$2" "$3"
    elif declare -F _cargo >/dev/null; then
        _cargo "$@"
    elif [[ ${COMP_CWORD} -eq 1 ]]; then
        COMPREPLY=($(compgen -W "updater" -- "$2"))
    fi
}

complete -F _cargo_and_updater -o bashdefault -o default cargo
