
# `cargo updater ...`: PowerShell keeps one completer for each command, so this replaces any other one of `cargo`. Call it in
# your profile if you have none.
function Register-CargoUpdaterForCargo {
    Register-ArgumentCompleter -Native -CommandName 'cargo' -ScriptBlock {
        param($wordToComplete, $commandAst, $cursorPosition)
        $words = @($commandAst.CommandElements | ForEach-Object { $_.ToString() })
        if ($words.Count -ge 2 -and $words[1] -eq 'updater') {
            $line = (@('cargo-updater') + @($words | Select-Object -Skip 2)) -join ' '
            if ($wordToComplete -eq '') { $line += ' ' }
            (TabExpansion2 -inputScript $line -cursorColumn $line.Length).CompletionMatches
        } elseif ($words.Count -le 2 -and 'updater'.StartsWith($wordToComplete)) {
            [System.Management.Automation.CompletionResult]::new('updater', 'updater', 'ParameterValue', 'Releases that update themselves')
        }
    }
}
