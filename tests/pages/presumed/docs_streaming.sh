mkdir -p store
model-archiver --model-name story --model-path "$PROJECT/examples/story" --handler story_handler --export-path store
serve story=story.mar
