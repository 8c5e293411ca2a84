greeting greeting.mar 1.0
greeting greeting-2.mar 2.0
echo_model animals digits
touch kitten.jpg
serve greeting.mar greeting-2.mar animals.mar digits.mar

# The page's addresses need another configuration.
serve_on_socket_and_tls() {
    openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost 2> /dev/null
    mkdir -p "$(dirname /run/mms.sock)" "$TMPDIR/tls"
    cat > socket.properties <<PROPERTIES
inference_address=unix:/run/mms.sock
management_address=unix:$TMPDIR/management.sock
PROPERTIES
    cat > tls.properties <<PROPERTIES
inference_address=https://[::1]:8443
management_address=unix:$TMPDIR/tls/management.sock
private_key_file=key.pem
certificate_file=cert.pem
PROPERTIES
    multi-model-server --stop
    MMS_CONFIG_FILE=socket.properties multi-model-server --start
    TMPDIR=$TMPDIR/tls MMS_CONFIG_FILE=tls.properties multi-model-server --start
}
