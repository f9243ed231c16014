window.ui = SwaggerUIBundle({
  url: "/schema/openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  filter: true,
  persistAuthorization: false,
  validatorUrl: null,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
});
