# The environment of every Wine command: a prefix of the project's own, no dialogs, and no debug output but of a thread that Wine
# itself gives up, which otherwise ends without a word. Needs lib.sh.
mkdir -p "$HM_CACHE"
WINEPREFIX=$(cd "$HM_CACHE" && pwd)/wine
WINEARCH=win64
WINEDEBUG=${WINEDEBUG:--all,err+seh,err+virtual}
WINEDLLOVERRIDES="mscoree=;mshtml=;winemenubuilder.exe=d"
export WINEPREFIX WINEARCH WINEDEBUG WINEDLLOVERRIDES
# Windows programs need no screen here; without one Wine must not try to find one.
unset DISPLAY WAYLAND_DISPLAY
