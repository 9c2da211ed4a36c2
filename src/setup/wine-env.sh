# The environment of every Wine command: a prefix of the project's own, no debug output, no dialogs. Needs lib.sh.
mkdir -p "$HM_CACHE"
WINEPREFIX=$(cd "$HM_CACHE" && pwd)/wine
WINEARCH=win64
WINEDEBUG=${WINEDEBUG:--all}
WINEDLLOVERRIDES="mscoree=;mshtml=;winemenubuilder.exe=d"
export WINEPREFIX WINEARCH WINEDEBUG WINEDLLOVERRIDES
# Windows programs need no screen here; without one Wine must not try to find one.
unset DISPLAY WAYLAND_DISPLAY
