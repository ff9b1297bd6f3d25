
# `cargo updater ...`: the words behind `updater` are completed as those of `cargo-updater`.
function __cargo_updater_is_here
    set -l words (commandline -opc)
    test (count $words) -ge 2; and test "$words[2]" = updater
end

function __cargo_updater_complete
    set -l words (commandline -opc)
    complete -C (string join ' ' -- cargo-updater (string escape -- $words[3..-1]) (commandline -ct))
end

complete -c cargo -n '__fish_is_nth_token 1' -f -a updater -d 'Build, sign, patch and publish releases that update themselves'
complete -c cargo -n __cargo_updater_is_here -f -a '(__cargo_updater_complete)'
