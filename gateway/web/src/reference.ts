// The REST reference of the port that serves this page: Swagger UI over the document that the same port serves. It loads nothing
// else, and its calls go to that port too, with a token that is pasted and never kept.
import SwaggerUI from "swagger-ui-dist/swagger-ui-es-bundle.js";
import "swagger-ui-dist/swagger-ui.css";

SwaggerUI({
  url: "/openapi.json",
  dom_id: "#reference",
  deepLinking: true,
  docExpansion: "none",
  defaultModelsExpandDepth: -1,
  filter: true,
  tryItOutEnabled: true,
  // By default the document would be sent to a validator on the internet.
  validatorUrl: null,
});
