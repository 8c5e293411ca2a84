serve_with_plugins() {
    mkdir plugins
    mv hello.py plugins
    echo "plugins_path=plugins" >> "$MMS_CONFIG_FILE"
    serve
}
