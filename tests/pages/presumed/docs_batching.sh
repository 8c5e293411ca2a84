echo_model ocr
serve
