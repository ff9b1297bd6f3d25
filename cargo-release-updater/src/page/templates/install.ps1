# Installs {{app}} for the user who runs it.
#
#   irm {{url}}/install.ps1 | iex
#   powershell -File install.ps1 -Help
#
# Whoever runs this from a server trusts that server for as long as it takes. What is installed is checked against a list
# that the developers have signed, when minisign.exe is in the PATH: PowerShell itself has no Ed25519.
param(
    [string] $Channel = '{{channel}}',
    [string] $To = (Join-Path $env:LOCALAPPDATA 'Programs\{{app}}'),
    [string] $Url = '{{url}}',
    # Install without checking the signature, when there is no minisign.
    [switch] $Unverified,
    # Accept a list that is past its time.
    [switch] $Expired,
    # Remove what this script has installed.
    [switch] $Uninstall,
    [switch] $Help
)
$ErrorActionPreference = 'Stop'
Set-StrictMode -Version Latest
$app = '{{app}}'
# Where the files lie when that is not below the address.
$files = '{{files}}'
# The keys by which minisign knows each channel.
$keys = @{
{{keys}}
}

function Stop-With([string] $what, [string] $hint) {
    throw "error: $what`n  help: $hint"
}

if ($Help) {
    Write-Host "Installs $app. Options: -Channel NAME ({{channels}}), -To DIR, -Url URL, -Unverified, -Expired, -Uninstall"
    return
}

if ($Uninstall) {
    $program = Join-Path $To "$app.exe"
    # What the program knows of its updates.
    $state = Join-Path $env:LOCALAPPDATA "cargo-updater\$app"
    if (-not (Test-Path -LiteralPath $program) -and -not (Test-Path -LiteralPath $state)) {
        Stop-With "$app is not installed in $To" 'name the folder with -To'
    }
    Remove-Item -LiteralPath $program -Force -ErrorAction SilentlyContinue
    if (Test-Path -LiteralPath $program) { Stop-With "cannot remove $program" "close $app, and try again" }
    Remove-Item -LiteralPath (Join-Path $To ".$app.exe.updater") -Recurse -Force -ErrorAction SilentlyContinue
    Remove-Item -LiteralPath $state -Recurse -Force -ErrorAction SilentlyContinue
    $path = [Environment]::GetEnvironmentVariable('Path', 'User')
    $rest = ($path -split ';' | Where-Object { $_ -and $_ -ne $To }) -join ';'
    if ($rest -ne $path) { [Environment]::SetEnvironmentVariable('Path', $rest, 'User') }
    Write-Host "removed $app, and what it kept for its updates in $state"
    if (Test-Path -LiteralPath $To) {
        $others = @(Get-ChildItem -LiteralPath $To -Force)
        if ($others.Count -eq 0) { Remove-Item -LiteralPath $To }
        else { Write-Host "left in ${To}, because it may be yours: $($others.Name -join ', ')" }
    }
    return
}

if (-not $keys.ContainsKey($Channel)) { Stop-With "there is no channel $Channel" 'the channels are: {{channels}}' }
if ($Url -notmatch '^https://' -and $Url -notmatch '^http://(127\.0\.0\.1|localhost)[:/]') {
    Stop-With "$Url is not https" 'name an address that begins with https://'
}
[Net.ServicePointManager]::SecurityProtocol = [Net.ServicePointManager]::SecurityProtocol -bor [Net.SecurityProtocolType]::Tls12

$work = Join-Path ([IO.Path]::GetTempPath()) ([IO.Path]::GetRandomFileName())
$null = New-Item -ItemType Directory -Path $work
try {
    $list = if ($Channel -eq 'stable') { 'VERSION' } else { "VERSION.$Channel" }
    $signed = Join-Path $work 'VERSION'
    Invoke-WebRequest -UseBasicParsing -Uri "$Url/$list" -OutFile $signed
    if ((Get-Item -LiteralPath $signed).Length -gt 65536) { Stop-With "$Url/$list is no list of releases" 'look at it in a browser' }
    $text = [IO.File]::ReadAllText($signed)
    $cut = $text.LastIndexOf("`nSIGNATURE ")
    if ($cut -lt 0) { Stop-With "$Url/$list is no signed list" 'look at it in a browser' }
    $body = $text.Substring(0, $cut + 1)
    [IO.File]::WriteAllText((Join-Path $work 'list'), $body)
    $signature = [Convert]::FromBase64String($text.Substring($cut + 11).Trim())
    [IO.File]::WriteAllBytes((Join-Path $work 'list.minisig'), $signature)

    $minisign = Get-Command minisign.exe -ErrorAction SilentlyContinue
    if ($minisign) {
        $good = $false
        foreach ($key in $keys[$Channel]) {
            & $minisign.Source -V -q -P $key -m (Join-Path $work 'list') -x (Join-Path $work 'list.minisig') *> $null
            if ($LASTEXITCODE -eq 0) { $good = $true; break }
        }
        if (-not $good) { Stop-With "the signature of $Url/$list is wrong" "do not install this; tell the developers of $app" }
    } elseif ($Unverified) {
        Write-Warning "the signature of $app is NOT checked"
    } else {
        Stop-With 'minisign is not here, so the signature cannot be checked' 'winget install jedisct1.minisign, or accept what the server says with -Unverified'
    }

    $lines = $body -split "`n"
    function Get-Field([string] $name) { ($lines | Where-Object { $_.StartsWith("$name ") } | Select-Object -First 1) -replace "^$name ", '' }
    if ((Get-Field 'APP') -ne $app -or (Get-Field 'CHANNEL') -ne $Channel) { Stop-With "$Url/$list is of another program or channel" 'look whether the address is right' }
    $until = Get-Field 'EXPIRES'
    $now = [DateTime]::UtcNow.ToString('yyyy-MM-ddTHH:mm:ssZ', [Globalization.CultureInfo]::InvariantCulture)
    if ([string]::CompareOrdinal($until, $now) -le 0 -and -not $Expired) {
        Stop-With "$Url/$list ended on ${until}: it may be an old one that somebody put back" 'look at the clock of this computer, try later, or accept it with -Expired'
    }

    $machine = if ($env:PROCESSOR_ARCHITEW6432) { $env:PROCESSOR_ARCHITEW6432 } else { $env:PROCESSOR_ARCHITECTURE }
    # Windows on ARM runs programs for Intel, too.
    $architectures = switch ($machine) {
        'ARM64' { 'aarch64', 'x86_64' }
        'AMD64' { 'x86_64' }
        default { 'i686' }
    }
    $chosen = $null
    foreach ($architecture in $architectures) {
        foreach ($abi in 'msvc', 'gnullvm', 'gnu') {
            $triple = "$architecture-pc-windows-$abi"
            if (-not $chosen) { $chosen = $lines | Where-Object { $_.StartsWith('CURRENT ') -and $_.EndsWith(" $triple") } | Select-Object -First 1 }
        }
    }
    if (-not $chosen) { Stop-With "there is no $app for this system" "look at $Url/ for what there is" }
    $null, $version, $file, $digest, $triple = $chosen -split ' '
    if ($lines -notcontains "KIND executable $triple") {
        Stop-With "this script installs programs of one file, and $app has several" "look at $Url/ for the download"
    }

    Write-Host "downloading $app $version ($triple)"
    $bundle = Join-Path $work 'bundle.tar.xz'
    $from = "$Url/targets/$file"
    if ($files) { $from = $files.Replace('{version}', $version).Replace('{sha256}', $digest).Replace('{name}', $file.Substring($file.IndexOf('.') + 1)) }
    Invoke-WebRequest -UseBasicParsing -Uri $from -OutFile $bundle
    if ((Get-FileHash -LiteralPath $bundle -Algorithm SHA256).Hash -ne $digest) {
        Stop-With "$file is not what the developers have signed" "try again; if it stays so, tell the developers of $app"
    }
    $tree = Join-Path $work 'tree'
    $null = New-Item -ItemType Directory -Path $tree
    # By its full path: another tar may come first in the PATH. That of Windows reads .tar.xz from Windows 11 24H2 on.
    & (Join-Path $env:SystemRoot 'System32\tar.exe') -xf $bundle -C $tree
    if ($LASTEXITCODE -ne 0) { Stop-With "cannot unpack $file" 'this needs the tar of Windows 11 24H2 or newer' }
    $program = Get-ChildItem -LiteralPath $tree -Recurse -File | Where-Object { $_.Name -ne '.updater-manifest.json' } | Select-Object -First 1
    if (-not $program) { Stop-With "$file has no program in it" "tell the developers of $app" }

    $null = New-Item -ItemType Directory -Path $To -Force
    Copy-Item -LiteralPath $program.FullName -Destination (Join-Path $To "$app.exe") -Force
    $path = [Environment]::GetEnvironmentVariable('Path', 'User')
    if (($path -split ';') -notcontains $To) {
        [Environment]::SetEnvironmentVariable('Path', (@($path, $To) | Where-Object { $_ }) -join ';', 'User')
        Write-Host "note: $To was added to your PATH; open a new window to use it"
    }
    # Which channel a program follows is built into it, as a text.
    $text = [Text.Encoding]::GetEncoding(28591).GetString([IO.File]::ReadAllBytes($program.FullName))
    $follows = [regex]::Match($text, 'cargo-updater-channels=([a-z0-9,_-]+);').Groups[1].Value -split ','
    if (-not $follows[0]) { $from = 'that it was built for' }
    elseif ($follows.Count -eq 1) { $from = $follows[0] }
    else { $from = "$($follows[0]), and from $($follows[1..($follows.Count - 1)] -join ', ') when that is newer" }
    Write-Host "installed $app $version in $To; it updates itself from now on, from the channel $from"
    if ($follows[0] -and $follows[0] -ne $Channel) {
        Write-Host "note: this version is from the channel $Channel, and the next one comes from $($follows[0]): that is built into it"
    }
} finally {
    Remove-Item -LiteralPath $work -Recurse -Force -ErrorAction SilentlyContinue
}
