#!/bin/sh
# What the container runs. Every path ends in exec, so that the container's first process is the program
# itself: it gets the SIGTERM of `docker stop`, and the container ends when it does.
#
#   serve [OPTION...]              the server with config.properties of the working folder
#   multi-model-server --start ... the server as told; in the foreground, whether asked for or not, because
#                                  a container ends with its first process
#   "COMMAND LINE"                 one argument with blanks: a line for the shell
#   COMMAND [ARGUMENT...]          any other program
set -e

if [ "$#" -eq 0 ]; then
    set -- serve
fi

case "$1" in
serve)
    shift
    exec multi-model-server --start --foreground --mms-config config.properties "$@"
    ;;
multi-model-server | mxnet-model-server)
    for argument in "$@"; do
        case "$argument" in
        --stop | --fore* | -h | --help) exec "$@" ;;
        esac
    done
    exec "$@" --foreground
    ;;
*[[:space:]]*)
    if [ "$#" -eq 1 ]; then
        exec sh -c "$1"
    fi
    ;;
esac
exec "$@"
