# management_of_its_own: what is served from here on, beside the page's first server, has another port of management
management_of_its_own() {
    sed 's#^management_address=.*#management_address=http://127.0.0.1:0#' "$MMS_CONFIG_FILE" > "$TMPDIR/beside"
    export MMS_CONFIG_FILE=$TMPDIR/beside
}
