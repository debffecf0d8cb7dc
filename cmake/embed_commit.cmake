# cmake -DOUT=FILE -DSOURCE=DIR -P embed_commit.cmake: a C++ file with the commit of the checkout in DIR; `-modified`
# where files differ from it. Written anew only when that changes, so that it costs a link and nothing else.
execute_process(COMMAND git -C ${SOURCE} describe --always --dirty=-modified --abbrev=12 --exclude=*
  OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(failed OR NOT commit MATCHES "^[0-9a-f]+(-modified)?$")
  set(commit "")
endif()
file(CONFIGURE OUTPUT ${OUT} CONTENT
  "namespace imgpack::cli {\nextern const char* const kCommit;\nconst char* const kCommit = \"@commit@\";\n}  // namespace imgpack::cli\n" @ONLY)
